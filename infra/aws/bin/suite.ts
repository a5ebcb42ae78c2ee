// The stacks of the whole suite; `cdk deploy tributary-pricing-eu-west-1` deploys one service in one region.

import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { settings } from '../lib/settings.ts';
import { suite } from '../lib/suite.ts';

const app = new App();
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
suite(app, settings(app));
app.synth();
