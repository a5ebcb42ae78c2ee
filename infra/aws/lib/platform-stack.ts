// What all services of a region stand on: the bus, its archive, its way to the other regions, who is told of alarms.

import { Duration, aws_events as events, aws_iam as iam, aws_kms as kms, RemovalPolicy, aws_sns as sns, aws_sqs as sqs, Stack, aws_cloudwatch as cloudwatch, aws_cloudwatch_actions as actions } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { Deployment } from './deployment.ts';
import { except } from './exceptions.ts';
import type { Manifest } from './manifest.ts';
import { Micrograph } from './micrograph.ts';

export interface PlatformProps {
  deployment: Deployment;
  region: string;
  /** What keeping the archive needs: infra/archivist's manifest. */
  archive: Manifest;
}

const FOURTEEN_DAYS = Duration.days(14);

/** Deployed before any service of its region. */
export class PlatformStack extends Stack {
  readonly bus: events.EventBus;
  readonly alarmTopic: sns.Topic;
  readonly archive: Micrograph;

  constructor(scope: Construct, { deployment, region, archive }: PlatformProps) {
    super(scope, `${deployment.named('platform')}-${region}`, {
      env: { region, ...(deployment.account !== undefined && { account: deployment.account }) },
      description: `Tributary: what all services in ${region} stand on`,
    });
    const removalPolicy = deployment.retain ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY;
    const key = new kms.Key(this, 'Key', {
      alias: `alias/${deployment.named('data')}`,
      description: 'Encrypts what is kept of events, and who is told of alarms',
      enableKeyRotation: true,
      removalPolicy,
    });
    this.alarmTopic = alarmTopic(this, deployment, key);
    this.bus = new events.EventBus(this, 'Bus', { eventBusName: deployment.named('bus') });
    // A net under the archive of ours: what its queue could not be handed is here for two weeks.
    this.bus.archive('Archive', {
      archiveName: deployment.named('bus'),
      description: 'Every event of the suite',
      eventPattern: { source: events.Match.prefix('tributary.') },
      retention: FOURTEEN_DAYS,
    });
    forward(this, deployment, region);
    this.archive = new Micrograph(this, 'Archive', {
      deployment,
      region,
      manifest: archive,
      bus: this.bus,
      alarmTopic: this.alarmTopic,
      code: deployment.code('archivist'),
      key,
    });
    deployment.publish(this, 'bus/name', this.bus.eventBusName);
    deployment.publish(this, 'alarms/topic', this.alarmTopic.topicArn);
    deployment.publish(this, 'archive/key', key.keyArn);
    for (const { bucket } of this.archive.buckets.values()) {
      deployment.publish(this, 'archive/bucket', bucket.bucketName);
    }
  }
}

function alarmTopic(stack: Stack, deployment: Deployment, key: kms.Key): sns.Topic {
  const topic = new sns.Topic(stack, 'Alarms', {
    topicName: deployment.named('alarms'),
    displayName: `Alarms of ${deployment.name}`,
    masterKey: key,
    enforceSSL: true,
  });
  const cloudWatch = new iam.ServicePrincipal('cloudwatch.amazonaws.com', {
    conditions: { StringEquals: { 'aws:SourceAccount': stack.account } },
  });
  topic.grantPublish(cloudWatch);
  key.grant(cloudWatch, 'kms:Decrypt', 'kms:GenerateDataKey*');
  return topic;
}

/**
 * Events born in this region go to the bus of each other one, and no further: an event that came from elsewhere has
 * another region in its envelope, which is ours and no bus changes.
 */
function forward(stack: PlatformStack, deployment: Deployment, region: string): void {
  const others = deployment.regions.filter((it) => it !== region);
  if (others.length === 0) return;
  const busArn = (other: string) => `arn:${stack.partition}:events:${other}:${stack.account}:event-bus/${deployment.named('bus')}`;
  const undelivered = new sqs.Queue(stack, 'NotForwarded', {
    queueName: deployment.named('not-forwarded'),
    encryption: sqs.QueueEncryption.SQS_MANAGED,
    enforceSSL: true,
    retentionPeriod: FOURTEEN_DAYS,
    visibilityTimeout: Duration.minutes(3),
  });
  except(undelivered, 'AwsSolutions-SQS3', 'It is the dead-letter queue of EventBridge rules.');
  const role = new iam.Role(stack, 'Forwarder', {
    assumedBy: new iam.ServicePrincipal('events.amazonaws.com'),
    description: 'Puts events on the buses of the other regions',
  });
  role.addToPolicy(new iam.PolicyStatement({ actions: ['events:PutEvents'], resources: others.map(busArn) }));
  for (const other of others) {
    const rule = new events.CfnRule(stack, `Forward-${other}`, {
      name: deployment.named(`to-${other}`),
      description: `What was born in ${region} goes to ${other}, once`,
      eventBusName: stack.bus.eventBusName,
      eventPattern: { source: [{ prefix: 'tributary.' }], detail: { region: [region] } },
      targets: [
        {
          id: other,
          arn: busArn(other),
          roleArn: role.roleArn,
          deadLetterConfig: { arn: undelivered.queueArn },
          retryPolicy: { maximumEventAgeInSeconds: 24 * 3600, maximumRetryAttempts: 185 },
        },
      ],
    });
    undelivered.addToResourcePolicy(
      new iam.PolicyStatement({
        principals: [new iam.ServicePrincipal('events.amazonaws.com')],
        actions: ['sqs:SendMessage'],
        resources: [undelivered.queueArn],
        conditions: { ArnEquals: { 'aws:SourceArn': rule.attrArn } },
      }),
    );
  }
  const alarm = new cloudwatch.Alarm(stack, 'NotForwardedDepth', {
    alarmName: deployment.named('not-forwarded-depth'),
    alarmDescription: 'Events did not reach another region within 24 hours: once it is back, replay them there from the archive.',
    metric: undelivered.metricApproximateNumberOfMessagesVisible({ statistic: 'Maximum', period: Duration.minutes(5) }),
    threshold: 0,
    comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
    evaluationPeriods: 1,
    treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
  });
  alarm.addAlarmAction(new actions.SnsAction(stack.alarmTopic));
}
