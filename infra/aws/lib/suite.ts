// The reference domain's stacks: in each region the platform, a stack for each service, the registry and the gateway; one edge.

import type { App } from 'aws-cdk-lib';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DeploymentError } from './deployment.ts';
import { EdgeStack } from './edge-stack.ts';
import { GatewayStack } from './gateway-stack.ts';
import { type Manifest, readManifest, withGeneration } from './manifest.ts';
import { PlatformStack } from './platform-stack.ts';
import { PurgerStack } from './purger-stack.ts';
import { type RegistryManifest, RegistryStack } from './registry-stack.ts';
import { ServiceStack } from './service-stack.ts';
import type { Settings } from './settings.ts';

const MANIFESTS = fileURLToPath(new URL('../manifests/', import.meta.url));

/** The manifest of the archive, which the platform keeps. */
export function archiveManifest(): Manifest {
  return readManifest(`${MANIFESTS}archive.json`);
}

/** The manifest of what has the edge drop what changed. */
export function cacheManifest(): Manifest {
  return readManifest(`${MANIFESTS}cache.json`);
}

/** What the registry needs. */
export function registryManifest(): RegistryManifest {
  return JSON.parse(readFileSync(`${MANIFESTS}registry.json`, 'utf8')) as RegistryManifest;
}

const OTHERS = ['archive.json', 'cache.json', 'registry.json'];

/** The manifests of all services, as their binaries print them; a test of tests/ keeps them so. */
export function serviceManifests(): Manifest[] {
  const names = readdirSync(MANIFESTS).filter((name) => name.endsWith('.json') && !OTHERS.includes(name));
  return names.sort().map((name) => readManifest(MANIFESTS + name));
}

export interface Stacks {
  platforms: PlatformStack[];
  services: ServiceStack[];
  registries: RegistryStack[];
  gateways: GatewayStack[];
  purgers: PurgerStack[];
  edge?: EdgeStack;
}

export function suite(app: App, { deployment, domain, distribution, apps, generations, registry: access }: Settings): Stacks {
  const manifests = serviceManifests().map((it) => built(it, generations[it.micrograph] ?? {}));
  const unknown = Object.keys(generations).filter((name) => !manifests.some((it) => it.micrograph === name));
  if (unknown.length > 0) throw new DeploymentError(`\`tributary.generations\` names ${unknown.join(', ')}, which is no service`);
  const stacks: Stacks = { platforms: [], services: [], registries: [], gateways: [], purgers: [] };
  for (const region of deployment.regions) {
    const platform = new PlatformStack(app, { deployment, region, archive: archiveManifest() });
    stacks.platforms.push(platform);
    const services = manifests.map((manifest) => new ServiceStack(app, { deployment, region, manifest }));
    stacks.services.push(...services);
    // The order of a first deployment; afterwards each is deployed alone (`cdk deploy --exclusively`).
    for (const service of services) {
      service.addStackDependency(platform);
      for (const { topic } of service.micrograph.manifest.subscriptions) {
        const owner = services.find((it) => it.micrograph.topics.has(topic));
        if (owner && owner !== service) service.addStackDependency(owner);
      }
    }
    if (distribution !== undefined) {
      const purger = new PurgerStack(app, { deployment, region, distribution, manifest: cacheManifest() });
      purger.addStackDependency(platform);
      stacks.purgers.push(purger);
    }
    if (!access) continue;
    const manifest = registryManifest();
    const registry = new RegistryStack(app, { deployment, region, manifest, ...access });
    registry.addStackDependency(platform);
    stacks.registries.push(registry);
    const gateway = new GatewayStack(app, { deployment, region, registry: manifest, ...(domain && { domain }) });
    gateway.addStackDependency(registry);
    stacks.gateways.push(gateway);
  }
  if (domain) stacks.edge = new EdgeStack(app, { deployment, domain, apps });
  return stacks;
}

function built(manifest: Manifest, generations: Record<string, string[]>): Manifest {
  const all = Object.entries(generations).flatMap(([projection, builds]) => builds.map((build) => [projection, build] as const));
  return all.reduce((it, [projection, build]) => withGeneration(it, projection, build), manifest);
}
