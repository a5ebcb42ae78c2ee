import { App, type Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Deployment, type DeploymentProps } from '../lib/deployment.ts';
import { Domain } from '../lib/gateway-stack.ts';
import type { Settings } from '../lib/settings.ts';
import { serviceManifests, type Stacks, suite } from '../lib/suite.ts';

export const HOME = 'eu-west-1';
export const AWAY = 'eu-central-1';
export const DOMAIN = new Domain('shop.example.com', 'Z0000000000000000000', 'example.com');

/** A folder with a zip for each binary; what is in them is no matter of synth's. */
export function binaries(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-binaries-'));
  for (const binary of ['archivist', 'gateway', 'purger', 'registry', ...serviceManifests().map((it) => it.micrograph)]) {
    // An empty archive.
    writeFileSync(join(folder, `${binary}.zip`), Buffer.from(`PK\x05\x06${'\0'.repeat(18)}`, 'latin1'));
  }
  return folder;
}

const BINARIES = binaries();

export function deployment(props: Partial<DeploymentProps> = {}): Deployment {
  return new Deployment({ name: 'shop', regions: [HOME, AWAY], binaries: BINARIES, build: 'test', ...props });
}

export function settings(props: Partial<Settings> = {}): Settings {
  return { deployment: deployment(), domain: DOMAIN, distribution: 'E1A2B3C4D5E6F7', apps: [], generations: {}, registry: {}, ...props };
}

export function stacks(props: Partial<Settings> = {}): Stacks & { app: App } {
  const app = new App();
  return { app, ...suite(app, settings(props)) };
}

export function all({ platforms, services, registries, gateways, purgers, edge }: Stacks): Stack[] {
  return [...platforms, ...services, ...registries, ...gateways, ...purgers, ...(edge ? [edge] : [])];
}

// Any part of a template.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Json = any;

/** The resources of a type, by logical id. */
export function resources(stack: Stack, type: string): Json[] {
  return Object.values(Template.fromStack(stack).findResources(type)).map((it) => (it as Json).Properties);
}

export function one(stack: Stack, type: string, is: (properties: Json) => boolean): Json {
  const found = resources(stack, type).filter(is);
  if (found.length !== 1) throw new Error(`${found.length} of type ${type} fit, not one`);
  return found[0];
}
