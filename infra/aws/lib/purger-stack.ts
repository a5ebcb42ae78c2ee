// What has the edge drop what changed: in each region, what consumers announce there.

import { ArnFormat, Stack, aws_events as events, aws_iam as iam, aws_sns as sns } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { Deployment } from './deployment.ts';
import type { Manifest } from './manifest.ts';
import { Micrograph } from './micrograph.ts';

export interface PurgerProps {
  deployment: Deployment;
  region: string;
  /** infra/purger's manifest. */
  manifest: Manifest;
  /** The id of the edge's distribution. */
  distribution: string;
}

export class PurgerStack extends Stack {
  readonly purger: Micrograph;

  constructor(scope: Construct, { deployment, region, manifest, distribution }: PurgerProps) {
    super(scope, `${deployment.named('cache')}-${region}`, {
      env: { region, ...(deployment.account !== undefined && { account: deployment.account }) },
      description: `Tributary: has the edge drop what changed in ${region}`,
    });
    const bus = events.EventBus.fromEventBusName(this, 'Bus', deployment.find(this, 'bus/name'));
    const alarmTopic = sns.Topic.fromTopicArn(this, 'Alarms', deployment.find(this, 'alarms/topic'));
    const code = deployment.code('purger');
    this.purger = new Micrograph(this, 'Purger', { deployment, region, manifest, bus, alarmTopic, code });
    const arn = this.formatArn({
      service: 'cloudfront', region: '', resource: 'distribution', resourceName: distribution, arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
    });
    for (const fn of this.purger.functions.values()) {
      fn.addEnvironment('DISTRIBUTION_IDS', distribution);
      fn.addToRolePolicy(new iam.PolicyStatement({ actions: ['cloudfront:CreateInvalidation'], resources: [arn] }));
    }
  }
}
