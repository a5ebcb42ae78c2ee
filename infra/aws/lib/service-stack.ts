// A service in a region, deployed by its team alone.

import { Fn, Stack, aws_events as events, aws_sns as sns } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { Deployment } from './deployment.ts';
import { inRegion, type Manifest } from './manifest.ts';
import { Micrograph } from './micrograph.ts';

export interface ServiceProps {
  deployment: Deployment;
  region: string;
  manifest: Manifest;
}

/** One micrograph. What it needs of the platform it finds by parameters; no stack imports from it. */
export class ServiceStack extends Stack {
  readonly micrograph: Micrograph;

  /** As the region has them when the stack is deployed: to know them earlier, an account would have to be asked. */
  override get availabilityZones(): string[] {
    return [0, 1].map((number) => Fn.select(number, Fn.getAzs()));
  }

  constructor(scope: Construct, { deployment, region, manifest: declared }: ServiceProps) {
    const manifest = deployment.regions.length > 1 ? inRegion(declared, region) : declared;
    super(scope, `${deployment.named(manifest.micrograph)}-${region}`, {
      env: { region, ...(deployment.account !== undefined && { account: deployment.account }) },
      description: `Tributary: ${manifest.micrograph} in ${region}`,
    });
    const bus = events.EventBus.fromEventBusName(this, 'Bus', deployment.find(this, 'bus/name'));
    const alarmTopic = sns.Topic.fromTopicArn(this, 'Alarms', deployment.find(this, 'alarms/topic'));
    this.micrograph = new Micrograph(this, 'Micrograph', { deployment, region, manifest, bus, alarmTopic });
  }
}
