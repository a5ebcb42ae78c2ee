import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RemovalPolicy } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import type { Fn } from '../lib/manifest.ts';
import { all, AWAY, deployment, HOME, type Json, one, resources, stacks } from './support.ts';

const suite = stacks();
const home = suite.services.filter((it) => it.region === HOME);

for (const stack of home) {
  const { manifest } = stack.micrograph;
  const { micrograph: name } = manifest;
  const named = (it: string) => `shop-${it}`;
  const template = Template.fromStack(stack);
  const functionOf = (fn: Fn) => one(stack, 'AWS::Lambda::Function', (it) => it.FunctionName === named(fn.name));

  test(`${name}: its tables are regional, with stream, time to live and point-in-time recovery as declared`, () => {
    template.resourceCountIs('AWS::DynamoDB::GlobalTable', 0);
    for (const table of manifest.tables) {
      const made = one(stack, 'AWS::DynamoDB::Table', (it) => it.TableName === named(table.name));
      assert.equal(made.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled, true, table.name);
      assert.equal(made.BillingMode, 'PAY_PER_REQUEST');
      assert.equal(made.StreamSpecification?.StreamViewType, table.stream ? 'NEW_IMAGE' : undefined);
      assert.equal(made.TimeToLiveSpecification?.AttributeName, table.ttl);
      assert.deepEqual((made.GlobalSecondaryIndexes ?? []).map((it: Json) => it.IndexName), table.indexes.map((it) => it.name));
      const isProjection = manifest.projections.some((it) => it.deployed === table.name);
      assert.equal(made.DeletionProtectionEnabled, !isProjection, `${table.name} is kept unless it can be made anew`);
    }
  });

  test(`${name}: its queues redrive to dead-letter queues of their kind`, () => {
    for (const queue of manifest.queues) {
      const made = one(stack, 'AWS::SQS::Queue', (it) => it.QueueName === named(queue.name));
      const letters = one(stack, 'AWS::SQS::Queue', (it) => it.QueueName === named(queue.deadLetterQueue));
      assert.equal(made.RedrivePolicy.maxReceiveCount, queue.maxReceiveCount);
      assert.equal(made.VisibilityTimeout, queue.visibilityTimeoutSeconds);
      assert.equal(letters.MessageRetentionPeriod, queue.retentionSeconds);
      assert.equal(made.FifoQueue, queue.fifo || undefined);
      assert.equal(letters.FifoQueue, queue.fifo || undefined);
    }
  });

  test(`${name}: its rules have the patterns that it prints, and a queue for what could not be handed over`, () => {
    for (const rule of manifest.rules) {
      const made = one(stack, 'AWS::Events::Rule', (it) => it.Name === named(rule.name));
      assert.deepEqual(made.EventPattern, rule.pattern);
      assert.ok(made.Targets[0].DeadLetterConfig.Arn);
      assert.equal(made.Targets[0].RetryPolicy.MaximumRetryAttempts, 185);
      one(stack, 'AWS::SQS::Queue', (it) => it.QueueName === named(`${rule.name}-undelivered`));
    }
  });

  test(`${name}: each function has its handler, and the triggers with partial batch response`, () => {
    const mappings = resources(stack, 'AWS::Lambda::EventSourceMapping');
    for (const fn of manifest.functions) {
      const made = functionOf(fn);
      assert.equal(made.Handler, fn.handler);
      assert.equal(made.Runtime, 'provided.al2023');
      assert.deepEqual(made.Architectures, ['arm64']);
      assert.equal(made.Environment.Variables.TABLE_PREFIX, 'shop-');
      assert.equal(made.Timeout, fn.timeoutSeconds);
    }
    assert.ok(mappings.length > 0);
    for (const mapping of mappings) assert.deepEqual(mapping.FunctionResponseTypes, ['ReportBatchItemFailures']);
    for (const { trigger } of manifest.functions) {
      if (trigger.type !== 'queue') continue;
      const id = stack.getLogicalId(stack.micrograph.queue(trigger.queue).node.defaultChild as never);
      const mapping = mappings.find((it) => it.EventSourceArn['Fn::GetAtt'][0] === id);
      assert.equal(mapping.BatchSize, trigger.batchSize);
      assert.equal(mapping.ScalingConfig.MaximumConcurrency, trigger.maximumConcurrency);
      assert.equal(mapping.MaximumBatchingWindowInSeconds, trigger.windowSeconds || undefined);
    }
  });

  test(`${name}: what a function may do is what it declares`, () => {
    const tableOf = new Map(manifest.tables.map((table) => [stack.getLogicalId(stack.micrograph.table(table.name).node.defaultChild as never), table.name]));
    for (const fn of manifest.functions) {
      const roleId = functionOf(fn).Role['Fn::GetAtt'][0];
      const policies = resources(stack, 'AWS::IAM::Policy').filter((it) => it.Roles.some((role: Json) => role.Ref === roleId));
      const statements: Json[] = policies.flatMap((it) => it.PolicyDocument.Statement);
      const role = Object.entries(template.findResources('AWS::IAM::Role')).find(([id]) => id === roleId)?.[1] as Json;
      assert.equal(role.Properties.ManagedPolicyArns, undefined, 'a managed policy allows more');
      const on = (actions: string[]) => new Set(statements
        .filter((it) => actions.some((action) => [it.Action].flat().includes(action)))
        .flatMap((it) => JSON.stringify(it.Resource).match(/"Fn::GetAtt":\["([^"]+)"/g) ?? [])
        .map((it) => tableOf.get(it.split('"')[3] ?? '')));
      assert.deepEqual(on(['dynamodb:GetItem']), new Set(fn.reads), `${fn.name} reads`);
      assert.deepEqual(on(['dynamodb:PutItem']), new Set(fn.writes), `${fn.name} writes`);
      const actions: string[] = statements.flatMap((it) => it.Action);
      const invoked = statements.filter((it) => [it.Action].flat().includes('lambda:InvokeFunction')).map((it) => JSON.stringify(it.Resource));
      const hands = manifest.decides.length > 0 && ['commands', 'subgraph'].includes(fn.handler);
      assert.equal(invoked.length, hands ? 1 : 0, `${fn.name} hands commands to their homes`);
      for (const it of invoked) assert.match(it, new RegExp(`:lambda:${AWAY}:.*:function:shop-${name}-commands`));
      assert.equal(actions.includes('events:PutEvents'), fn.putsEvents, `${fn.name} puts events`);
      assert.deepEqual(on(['dynamodb:Scan']), new Set(fn.scans ?? []), `${fn.name} scans`);
      const sends = statements.filter((it) => [it.Action].flat().includes('sqs:SendMessage')).flatMap((it) => [it.Resource].flat());
      const queueIds = (fn.sends ?? []).map((it) => stack.getLogicalId(stack.micrograph.queue(it).node.defaultChild as never));
      assert.deepEqual(sends.map((it) => it['Fn::GetAtt'][0]), queueIds, `${fn.name} sends`);
      const objects = statements.filter((it) => [it.Action].flat().includes('s3:GetObject')).flatMap((it) => [it.Resource].flat());
      const folders = objects.map((it) => /events\/(\w+)\/\*/.exec(JSON.stringify(it))?.[1]);
      assert.deepEqual(folders, fn.archives ?? [], `${fn.name} reads the archive`);
      assert.ok(!actions.some((it) => it.includes('*') && it !== 'xray:*'), `${fn.name} may ${actions.join(', ')}`);
    }
  });

  test(`${name}: everything that can go wrong has an alarm that somebody is told of`, () => {
    const made = resources(stack, 'AWS::CloudWatch::Alarm');
    const names = made.map((it) => it.AlarmName);
    for (const alarm of manifest.alarms) {
      const { Threshold } = made.find((it) => it.AlarmName === named(alarm.name)) ?? {};
      assert.equal(Threshold, alarm.above, alarm.name);
    }
    for (const fn of manifest.functions) {
      for (const what of ['errors', 'throttles']) assert.ok(names.includes(named(`${fn.name}-${what}`)), `${fn.name} ${what}`);
      if (fn.trigger.type === 'stream') assert.ok(names.includes(named(`${fn.name}-behind`)));
    }
    for (const alarm of made) assert.equal(alarm.AlarmActions.length, 1, alarm.AlarmName);
    template.resourceCountIs('AWS::CloudWatch::Dashboard', 1);
  });
}

test('a projection is rebuilt by what its own micrograph may read, and the archive of what it hears of others', () => {
  const stack = home.find((it) => it.micrograph.manifest.micrograph === 'pricing')!;
  const fn = one(stack, 'AWS::Lambda::Function', (it) => it.Handler === 'generations');
  assert.equal(fn.Timeout, 900);
  assert.match(JSON.stringify(fn.Environment.Variables.ARCHIVE_BUCKET), /archivebucket/);
  const policies = JSON.stringify(resources(stack, 'AWS::IAM::Policy').filter((it) => it.Roles.some((role: Json) => role.Ref === fn.Role['Fn::GetAtt'][0])));
  for (const domain of ['catalogue', 'pricing']) assert.match(policies, new RegExp(`events/${domain}/\\*`));
  assert.doesNotMatch(policies, /events\/(orders|customers)/);
  assert.doesNotMatch(policies, /s3:PutObject|s3:DeleteObject|sqs:DeleteMessage|dynamodb:DeleteTable/);
  assert.match(policies, /:shop-archive-archivist"/);
  // The audits run on their own, and somebody is told of what drifted.
  one(stack, 'AWS::Events::Rule', (it) => it.Name === 'shop-pricing-generations' && it.ScheduleExpression === 'rate(1 day)');
  const drift = one(stack, 'AWS::CloudWatch::Alarm', (it) => it.AlarmName === 'shop-pricing-offers-drift');
  assert.deepEqual(drift.Dimensions.map((it: Json) => it.Name).sort(), ['Micrograph', 'Projection', 'Region']);
});

test('what is not handed over to a queue is drained into the quarantine', () => {
  const stack = home.find((it) => it.micrograph.manifest.micrograph === 'pricing')!;
  const letters = stack.micrograph.fn('pricing-dead-letters');
  const id = stack.getLogicalId(letters.node.defaultChild as never);
  const mappings = resources(stack, 'AWS::Lambda::EventSourceMapping').filter((it) => it.FunctionName.Ref === id);
  const { queues, rules } = stack.micrograph.manifest;
  assert.equal(mappings.length, queues.length + rules.length);
});

test('a subgraph is reached by signed requests only', () => {
  for (const stack of home) {
    if (!stack.micrograph.manifest.functions.some((it) => it.trigger.type === 'http')) continue;
    Template.fromStack(stack).hasResourceProperties('AWS::Lambda::Url', { AuthType: 'AWS_IAM' });
    Template.fromStack(stack).hasResourceProperties('AWS::SSM::Parameter', {
      Name: `/shop/subgraphs/${stack.micrograph.manifest.micrograph}`,
      Value: Match.objectLike({ 'Fn::GetAtt': Match.anyValue() }),
    });
  }
});

test('no stack imports from another: each is deployed by its team alone', () => {
  for (const stack of all(suite)) {
    const template = Template.fromStack(stack).toJSON() as Json;
    const text = JSON.stringify(template);
    assert.ok(!text.includes('Fn::ImportValue'), `${stack.stackName} imports`);
    assert.deepEqual(Object.values(template.Outputs ?? {}).filter((it: Json) => it.Export), [], `${stack.stackName} exports`);
  }
});

test('nothing is looked up: synth needs no network and no account', () => {
  const assembly = suite.app.synth();
  assert.deepEqual(assembly.manifest.missing ?? [], []);
});

test('a deployment that is thrown away leaves nothing behind', () => {
  const { services, platforms } = stacks({ deployment: deployment({ retain: false }) });
  for (const stack of [...services, ...platforms]) {
    for (const [id, resource] of Object.entries((Template.fromStack(stack).toJSON() as Json).Resources) as [string, Json][]) {
      assert.notEqual(resource.DeletionPolicy, 'Retain', id);
    }
  }
  assert.equal(RemovalPolicy.DESTROY, 'destroy');
});
