// The suite with everything that can be set up, for cfn-lint; `CDK_OUTDIR` says where the templates go.

import { stacks } from './support.ts';

stacks({ apps: [{ path: '/admin', origin: 'admin.example.com' }], generations: { pricing: { offers: ['1-1'] }, reporting: { sales: ['1-1'] } } }).app.synth();
