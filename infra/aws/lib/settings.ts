// How a deployment is set up: the key `tributary` of cdk.json's context.

import type { App } from 'aws-cdk-lib';
import { fileURLToPath } from 'node:url';
import { type DatabaseSettings, Deployment, DeploymentError } from './deployment.ts';
import type { App as Page } from './edge-stack.ts';
import { Domain } from './gateway-stack.ts';
import type { Grant } from './registry-stack.ts';

export interface Settings {
  deployment: Deployment;
  /** The public name of the graph; without one there is no edge. */
  domain?: Domain;
  /** The edge's distribution, once it is there: from then on what changes leaves it at once. */
  distribution?: string;
  /** What else is at the public name. */
  apps: Page[];
  /** Builds that are made beside what is deployed, for a rebuild: by micrograph and projection. */
  generations: Record<string, Record<string, string[]>>;
  /** Who may call the registry; without one there is no gateway either: subgraphs alone are tried. */
  registry?: { tokens?: Grant[] };
}

interface Written {
  name?: string;
  regions?: string[];
  firstHomes?: string[];
  account?: string;
  architecture?: string;
  binaries?: string;
  retain?: boolean;
  domain?: { name?: string; zoneId?: string; zoneName?: string };
  distribution?: string;
  apps?: Page[];
  generations?: Record<string, Record<string, string[]>>;
  environment?: Record<string, string>;
  registry?: boolean | { tokens?: Grant[] };
  database?: Partial<DatabaseSettings>;
}

const KNOWN = [
  'name', 'regions', 'firstHomes', 'account', 'architecture', 'binaries', 'retain', 'domain', 'distribution', 'apps', 'generations', 'environment', 'registry', 'database',
];

export function settings(app: App): Settings {
  const given: unknown = app.node.tryGetContext('tributary');
  if (typeof given !== 'object' || given === null) {
    throw new DeploymentError('cdk.json has no context `tributary`: it says the name and the regions of the deployment');
  }
  const unknown = Object.keys(given).filter((key) => !KNOWN.includes(key));
  if (unknown.length > 0) throw new DeploymentError(`\`tributary\` has ${unknown.join(', ')}; it takes ${KNOWN.join(', ')}`);
  const written = given as Written;
  const { architecture = 'arm64' } = written;
  if (architecture !== 'arm64' && architecture !== 'x86_64') {
    throw new DeploymentError(`the architecture is arm64 or x86_64, not ${architecture}`);
  }
  if (!Array.isArray(written.regions)) throw new DeploymentError('`tributary.regions` lists the regions of the deployment');
  const build: unknown = app.node.tryGetContext('build') ?? process.env.BUILD_ID;
  const binaries: unknown = app.node.tryGetContext('binaries') ?? written.binaries;
  const deployment = new Deployment({
    name: written.name ?? 'tributary',
    regions: written.regions,
    account: written.account ?? process.env.CDK_DEFAULT_ACCOUNT,
    architecture,
    binaries: typeof binaries === 'string' ? binaries : fileURLToPath(new URL('../../../target/aws', import.meta.url)),
    retain: written.retain ?? true,
    environment: {
      ...(written.distribution !== undefined && { CACHE_TAGS: 'on' }),
      ...written.environment,
    },
    ...(typeof build === 'string' && { build }),
    ...(written.firstHomes && { firstHomes: written.firstHomes }),
    ...(written.database && { database: written.database }),
  });
  const { apps = [], generations = {} } = written;
  const registry = access(written.registry ?? true);
  if (written.domain && !registry.registry) throw new DeploymentError('`tributary.domain` leads to a gateway, which needs a `tributary.registry`');
  if (written.distribution !== undefined && !/^E[A-Z0-9]+$/.test(written.distribution)) {
    throw new DeploymentError(`\`tributary.distribution\` is the id of a distribution, such as E1A2B3C4D5E6F7, not ${written.distribution}`);
  }
  const distribution = written.distribution !== undefined && { distribution: written.distribution };
  if (!written.domain) {
    if (apps.length > 0) throw new DeploymentError('`tributary.apps` need a `tributary.domain` to be at');
    return { deployment, ...distribution, apps, generations, ...registry };
  }
  const { name, zoneId, zoneName } = written.domain;
  if (!name || !zoneId || !zoneName) throw new DeploymentError('`tributary.domain` has a name, a zoneId and a zoneName (of Route 53)');
  return { deployment, domain: new Domain(name, zoneId, zoneName), ...distribution, apps, generations, ...registry };
}

/** Who may call the registry: whom IAM lets in, or holders of tokens. */
function access(written: boolean | { tokens?: Grant[] }): Pick<Settings, 'registry'> {
  if (written === false) return {};
  if (written === true) return { registry: {} };
  const { tokens } = written;
  if (!Array.isArray(tokens) || tokens.length === 0) {
    throw new DeploymentError('`tributary.registry` is true (IAM says who may call it), false, or has `tokens`: a list of { name, sha256, may }');
  }
  for (const { name, sha256, may } of tokens) {
    if (!name || !/^[0-9a-f]{64}$/.test(sha256) || !['read', 'publish', 'admin'].includes(may)) {
      throw new DeploymentError(`a token of \`tributary.registry\` has a name, its SHA-256 in hexadecimal, and what it may: read, publish or admin; not ${JSON.stringify({ name, sha256, may })}`);
    }
  }
  return { registry: { tokens } };
}
