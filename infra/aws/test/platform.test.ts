import assert from 'node:assert/strict';
import { test } from 'node:test';
import { App } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { DeploymentError } from '../lib/deployment.ts';
import { PlatformStack } from '../lib/platform-stack.ts';
import { archiveManifest } from '../lib/suite.ts';
import { AWAY, deployment, HOME, type Json, one, resources, stacks } from './support.ts';

const { platforms, services } = stacks();
const alone = stacks({ deployment: deployment({ regions: [HOME] }) });
const home = platforms.find((it) => it.region === HOME)!;

test('events born in a region go to each other one, and no further', () => {
  for (const [stack, here, there] of platforms.map((it) => [it, it.region, it.region === HOME ? AWAY : HOME] as const)) {
    const rule = one(stack, 'AWS::Events::Rule', (it) => it.Name === `shop-to-${there}`);
    // The region in the envelope is where the event was born; what came from elsewhere has another.
    assert.deepEqual(rule.EventPattern, { source: [{ prefix: 'tributary.' }], detail: { region: [here] } });
    assert.match(JSON.stringify(rule.Targets[0].Arn), new RegExp(`:events:${there}:.*event-bus/shop-bus`));
    assert.ok(rule.Targets[0].DeadLetterConfig && rule.Targets[0].RoleArn);
    Template.fromStack(stack).hasResourceProperties('AWS::CloudWatch::Alarm', { AlarmName: 'shop-not-forwarded-depth' });
  }
});

test('three regions forward to two each; one region to none', () => {
  const forwards = (stack: Parameters<typeof resources>[0]) => resources(stack, 'AWS::Events::Rule').filter((it) => it.Name?.startsWith('shop-to-'));
  const app = new App();
  const three = deployment({ regions: [HOME, AWAY, 'us-east-1'] });
  const made = three.regions.map((region) => new PlatformStack(app, { deployment: three, region, archive: archiveManifest() }));
  for (const stack of made) assert.equal(forwards(stack).length, 2);
  for (const stack of alone.platforms) assert.equal(forwards(stack).length, 0);
});

test('every event is archived twice: by EventBridge for two weeks, by the archivist in a bucket', () => {
  const template = Template.fromStack(home);
  template.hasResourceProperties('AWS::Events::Archive', { RetentionDays: 14 });
  const rule = one(home, 'AWS::Events::Rule', (it) => it.Name === 'shop-archive-archivist');
  assert.deepEqual(rule.EventPattern.source, [{ prefix: 'tributary.' }]);
  // What regions tell each other of aggregates is no history.
  assert.deepEqual(rule.EventPattern['detail-type'], [{ 'anything-but': ['AggregateReplica', 'HomesMoved'] }]);
  const bucket = one(home, 'AWS::S3::Bucket', () => true);
  assert.equal(bucket.VersioningConfiguration, undefined, 'what is erased is gone');
  assert.equal(bucket.BucketEncryption.ServerSideEncryptionConfiguration[0].ServerSideEncryptionByDefault.SSEAlgorithm, 'aws:kms');
  assert.equal(bucket.PublicAccessBlockConfiguration.BlockPublicAcls, true);
});

test('only what rewrites the archive may remove from it, one at a time', () => {
  const deletes = (name: string) => {
    const fn = home.archive.fn(name);
    const role = home.getLogicalId(fn.role!.node.defaultChild as never);
    const policies = resources(home, 'AWS::IAM::Policy').filter((it) => it.Roles.some((of: Json) => of.Ref === role));
    return JSON.stringify(policies).includes('s3:DeleteObject');
  };
  assert.equal(deletes('archive-archivist'), false);
  for (const name of ['archive-compactor', 'archive-eraser']) {
    assert.equal(deletes(name), true);
    const fn = one(home, 'AWS::Lambda::Function', (it) => it.FunctionName === `shop-${name}`);
    assert.equal(fn.ReservedConcurrentExecutions, 1);
    assert.ok(fn.Environment.Variables.ARCHIVE_BUCKET);
  }
});

test('functions are told of all regions, in one order; alone, of none', () => {
  for (const [made, told] of [[services, `${HOME},${AWAY}`], [alone.services, undefined]] as const) {
    for (const stack of made) {
      for (const fn of resources(stack, 'AWS::Lambda::Function')) assert.equal(fn.Environment.Variables.REGIONS, told);
    }
  }
});

test('a region that is added is told where aggregates were at home before', () => {
  const added = stacks({ deployment: deployment({ regions: [HOME, AWAY], firstHomes: [HOME] }) });
  for (const stack of added.services) {
    for (const fn of resources(stack, 'AWS::Lambda::Function')) assert.equal(fn.Environment.Variables.FIRST_HOMES, HOME);
  }
});

test('what other regions tell of aggregates is applied to replicas; where there is one region, nobody tells', () => {
  const stack = services.find((it) => it.micrograph.manifest.micrograph === 'orders' && it.region === HOME)!;
  const rule = one(stack, 'AWS::Events::Rule', (it) => it.Name === 'shop-orders-replicas');
  assert.deepEqual(rule.EventPattern.detail.region, [{ 'anything-but': [HOME] }]);
  one(stack, 'AWS::Lambda::Function', (it) => it.Handler === 'replicas');
  for (const it of alone.services) assert.ok(!resources(it, 'AWS::Lambda::Function').some((fn) => fn.Handler === 'replicas'));
});

test('word is left for the services', () => {
  for (const name of ['bus/name', 'alarms/topic', 'archive/bucket', 'archive/key']) {
    Template.fromStack(home).hasResourceProperties('AWS::SSM::Parameter', { Name: `/shop/${name}`, Value: Match.anyValue() });
  }
});

test('a deployment that is set up wrong is refused with what would be right', () => {
  const cases: [RegExp, Parameters<typeof deployment>[0]][] = [
    [/can't begin names/, { name: 'Shop_1' }],
    [/each region once/, { regions: [] }],
    [/each region once/, { regions: [HOME, HOME] }],
    [/at home in some of the regions/, { regions: [HOME], firstHomes: [AWAY] }],
  ];
  for (const [why, props] of cases) {
    assert.throws(() => deployment(props), (error) => error instanceof DeploymentError && why.test(error.message));
  }
  assert.throws(() => stacks({ deployment: deployment({ binaries: '/nowhere' }) }), /infra\/aws\/bin\/build/);
});
