import { aws_events as events, aws_iam as iam, aws_sns as sns } from 'aws-cdk-lib';
import { except } from '../exceptions.ts';
import type { Rule, Subscription } from '../manifest.ts';
import type { Micrograph } from '../micrograph.ts';
import { type NamedQueue, undeliveredQueue } from './queues.ts';

/** For how long and how often EventBridge tries: the most that it takes. */
const RETRY = { maximumEventAgeInSeconds: 24 * 3600, maximumRetryAttempts: 185 };

/** What brings events to queues and topics; gives the queues of what could not be handed over, by name. */
export function rules(micrograph: Micrograph): Map<string, NamedQueue> {
  const undelivered = new Map<string, NamedQueue>();
  for (const rule of micrograph.manifest.rules) {
    const name = `${rule.name}-undelivered`;
    undelivered.set(name, ofBus(micrograph, rule, name));
  }
  for (const subscription of micrograph.manifest.subscriptions) {
    // All topics that feed a queue share one.
    const name = `${subscription.queue}-undelivered`;
    const queue = undelivered.get(name) ?? lost(micrograph, name, 'SNS subscription');
    undelivered.set(name, queue);
    subscribe(micrograph, subscription, queue);
  }
  return undelivered;
}

function ofBus(micrograph: Micrograph, rule: Rule, undeliveredName: string): NamedQueue {
  const { deployment, bus } = micrograph;
  const undelivered = lost(micrograph, undeliveredName, 'EventBridge rule');
  const target = rule.queue !== undefined ? micrograph.queue(rule.queue) : undefined;
  const topic = rule.topic !== undefined ? micrograph.topics.get(rule.topic) : undefined;
  const arn = target?.queueArn ?? topic?.topicArn;
  if (arn === undefined) throw new Error(`the rule ${rule.name} has no target`);
  const made = new events.CfnRule(micrograph, `Rule-${rule.name}`, {
    name: deployment.named(rule.name),
    eventBusName: bus.eventBusName,
    // As it is printed: patterns are EventBridge's own language.
    eventPattern: rule.pattern,
    targets: [{ id: 'target', arn, deadLetterConfig: { arn: undelivered.queueArn }, retryPolicy: RETRY }],
  });
  const eventBridge = new iam.ServicePrincipal('events.amazonaws.com');
  const byThis = { conditions: { ArnEquals: { 'aws:SourceArn': made.attrArn } }, principals: [eventBridge] };
  for (const queue of [target, undelivered]) {
    queue?.addToResourcePolicy(
      new iam.PolicyStatement({ ...byThis, actions: ['sqs:SendMessage'], resources: [queue.queueArn] }),
    );
  }
  topic?.addToResourcePolicy(
    new iam.PolicyStatement({ ...byThis, actions: ['sns:Publish'], resources: [topic.topicArn] }),
  );
  return undelivered;
}

function subscribe(micrograph: Micrograph, subscription: Subscription, undelivered: NamedQueue): void {
  const { deployment } = micrograph;
  const queue = micrograph.queue(subscription.queue);
  const own = micrograph.topics.get(subscription.topic)?.topicArn;
  const topicArn = own ?? deployment.find(micrograph, `topics/${subscription.topic}`);
  new sns.CfnSubscription(micrograph, `Subscription-${subscription.queue}-${subscription.topic}`, {
    protocol: 'sqs',
    topicArn,
    endpoint: queue.queueArn,
    rawMessageDelivery: subscription.rawDelivery,
    filterPolicyScope: 'MessageBody',
    filterPolicy: subscription.filterPolicy,
    redrivePolicy: { deadLetterTargetArn: undelivered.queueArn },
  });
  for (const to of [queue, undelivered]) {
    to.addToResourcePolicy(
      new iam.PolicyStatement({
        principals: [new iam.ServicePrincipal('sns.amazonaws.com')],
        actions: ['sqs:SendMessage'],
        resources: [to.queueArn],
        conditions: { ArnEquals: { 'aws:SourceArn': topicArn } },
      }),
    );
  }
}

function lost(micrograph: Micrograph, name: string, of: string): NamedQueue {
  const queue = undeliveredQueue(micrograph, name);
  except(queue, 'AwsSolutions-SQS3', `It is the dead-letter queue of an ${of}.`);
  return queue;
}
