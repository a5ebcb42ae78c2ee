import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { App, type Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { DeploymentError } from '../lib/deployment.ts';
import { GatewayStack } from '../lib/gateway-stack.ts';
import { RegistryStack } from '../lib/registry-stack.ts';
import { registryManifest, suite as made } from '../lib/suite.ts';
import { deployment, DOMAIN, HOME, type Json, one, resources, stacks } from './support.ts';

const suite = stacks();
const registry = suite.registries.find((it) => it.region === HOME)!;
const gateway = suite.gateways.find((it) => it.region === HOME)!;

/** What policies of a stack allow: by the resources as they end, what may be done with them. */
function allowed(stack: Stack): [string, Json][] {
  const statements: Json[] = resources(stack, 'AWS::IAM::Policy').flatMap((it) => it.PolicyDocument.Statement);
  return statements.flatMap(({ Action, Resource, Condition }) =>
    [Resource].flat().map((it: Json): [string, Json] => [typeof it === 'string' ? it : JSON.stringify(it), { actions: [Action].flat(), ...(Condition && { Condition }) }]),
  );
}

/** The actions on what ends so, as a part of an ARN. */
function on(stack: Stack, key: string): string[] {
  return allowed(stack).filter(([resource]) => resource.includes(`"${key}"`)).flatMap(([, it]) => it.actions).sort();
}

test('each region has a store of schemas and a registry, and what finds them', () => {
  assert.deepEqual(suite.registries.map((it) => it.region), suite.gateways.map((it) => it.region));
  for (const stack of suite.registries) {
    for (const name of ['registry/bucket', 'registry/url']) one(stack, 'AWS::SSM::Parameter', (it) => it.Name === `/shop/${name}`);
  }
});

test('the store keeps what was replaced, is encrypted, is read by no stranger and by TLS alone', () => {
  const bucket = one(registry, 'AWS::S3::Bucket', () => true);
  assert.equal(bucket.VersioningConfiguration.Status, 'Enabled');
  assert.equal(bucket.BucketEncryption.ServerSideEncryptionConfiguration[0].ServerSideEncryptionByDefault.SSEAlgorithm, 'AES256');
  assert.deepEqual(new Set(Object.values(bucket.PublicAccessBlockConfiguration)), new Set([true]));
  const denied: Json[] = one(registry, 'AWS::S3::BucketPolicy', () => true).PolicyDocument.Statement.filter((it: Json) => it.Effect === 'Deny');
  assert.ok(denied.some((it) => it.Condition.Bool?.['aws:SecureTransport'] === 'false'));
  assert.ok(denied.some((it) => it.Condition.NumericLessThan?.['s3:TlsVersion'] === 1.2));
  const resource = Object.values(Template.fromStack(registry).findResources('AWS::S3::Bucket'))[0] as Json;
  assert.equal(resource.DeletionPolicy, 'Retain');
});

test('usage is forgotten in time, schemas and releases never', () => {
  const { Rules: rules } = one(registry, 'AWS::S3::Bucket', () => true).LifecycleConfiguration;
  const expiring = rules.filter((it: Json) => it.ExpirationInDays !== undefined);
  assert.deepEqual(expiring.map((it: Json) => [it.Prefix, it.ExpirationInDays]), [['usage/', 90]]);
});

test('the registry function is what its binary prints, and may read its store and write all but usage', () => {
  const { function: declared, bucket } = registryManifest();
  const fn = one(registry, 'AWS::Lambda::Function', () => true);
  assert.equal(fn.FunctionName, 'shop-registry');
  assert.deepEqual([fn.Handler, fn.Timeout, fn.MemorySize], [declared.handler, declared.timeoutSeconds, declared.memoryMb]);
  assert.ok(fn.Timeout < 30, 'API Gateway waits no longer');
  assert.ok(fn.Environment.Variables[bucket.variable].Ref);
  for (const key of ['/objects/*', '/variants/*', '/settings.json']) assert.deepEqual(on(registry, key), ['s3:GetObject', 's3:PutObject'], key);
  assert.deepEqual(on(registry, '/usage/*'), ['s3:GetObject']);
  const actions = new Set(allowed(registry).flatMap(([, it]) => it.actions).filter((it) => it.startsWith('s3:')));
  assert.deepEqual(actions, new Set(['s3:ListBucket', 's3:GetObject', 's3:PutObject']), 'it removes nothing');
});

test('IAM guards the registry, or tokens do, whose hashes alone are deployed', () => {
  const guard = (stack: Stack) => {
    const { REGISTRY_AUTH, REGISTRY_TOKENS } = one(stack, 'AWS::Lambda::Function', () => true).Environment.Variables;
    const routes = resources(stack, 'AWS::ApiGatewayV2::Route').map((it) => it.AuthorizationType);
    return { REGISTRY_AUTH, REGISTRY_TOKENS, routes };
  };
  assert.deepEqual(guard(registry), { REGISTRY_AUTH: 'iam', REGISTRY_TOKENS: undefined, routes: ['AWS_IAM'] });
  const tokens = [{ name: 'ci', sha256: 'ab'.repeat(32), may: 'publish' as const, subgraphs: ['pricing'] }];
  const open = (to: typeof tokens) => new RegistryStack(new App(), { deployment: deployment(), region: HOME, manifest: registryManifest(), tokens: to });
  assert.deepEqual(guard(open(tokens)), { REGISTRY_AUTH: undefined, REGISTRY_TOKENS: JSON.stringify(tokens), routes: ['NONE'] });
  const many = Array.from({ length: 40 }, (_, at) => ({ ...tokens[0]!, name: `team-${at}` }));
  assert.throws(() => open(many), (error) => error instanceof DeploymentError && /40 tokens/.test(error.message));
});

test('the gateway finds its graph, its documents and what it served last', () => {
  const { Variables: told } = one(gateway, 'AWS::Lambda::Function', () => true).Environment;
  const parameters = Object.entries((Template.fromStack(gateway).toJSON() as Json).Parameters) as [string, Json][];
  const [bucket] = parameters.find(([, it]) => it.Default === '/shop/registry/bucket')!;
  assert.deepEqual(told.GATEWAY_REGISTRY, { 'Fn::Join': ['', ['s3://', { Ref: bucket }]] });
  const table = one(gateway, 'AWS::DynamoDB::Table', () => true);
  const logical = (type: string) => Object.keys(Template.fromStack(gateway).findResources(type))[0];
  assert.deepEqual(told.GATEWAY_DOCUMENTS_TABLE, { Ref: logical('AWS::DynamoDB::Table') });
  assert.deepEqual(told.GATEWAY_LAST_GOOD, { 'Fn::Join': ['', ['s3://', { Ref: logical('AWS::S3::Bucket') }, '/last-good']] });
  for (const name of ['GATEWAY_SIGV4', 'GATEWAY_USAGE', 'GATEWAY_PRODUCTION']) assert.equal(told[name], 'true', name);
  assert.equal(table.TimeToLiveSpecification.AttributeName, 'ttl');
  assert.deepEqual(table.KeySchema.map((it: Json) => it.AttributeName), ['pk', 'sk']);
});

test('the gateway reads what was deployed, writes usage, its documents and what it served last, and nothing else', () => {
  for (const key of ['/objects/*', '/variants/*/pointer.json']) assert.deepEqual(on(gateway, key), ['s3:GetObject'], key);
  assert.deepEqual(on(gateway, '/usage/*'), ['s3:PutObject']);
  assert.deepEqual(on(gateway, '/last-good/supergraph.graphql'), ['s3:GetObject', 's3:PutObject']);
  const actions = allowed(gateway).flatMap(([, it]) => it.actions as string[]);
  assert.deepEqual(actions.filter((it) => it.startsWith('dynamodb:')).sort(), ['dynamodb:GetItem', 'dynamodb:PutItem']);
  assert.equal(actions.filter((it) => it === 's3:PutObject').length, 2);
  assert.ok(!actions.some((it) => /Delete|\*$/.test(it) && it !== 'xray:*'), actions.join(', '));
});

test('the gateway may call subgraphs of its region, signed, and no other function', () => {
  for (const stack of suite.gateways) {
    const calls = allowed(stack).filter(([, it]) => it.actions.some((action: string) => action.startsWith('lambda:')));
    assert.deepEqual(calls.map(([, it]) => it.actions).flat().sort(), ['lambda:InvokeFunction', 'lambda:InvokeFunctionUrl']);
    for (const [resource] of calls) assert.match(resource, new RegExp(`:lambda:${stack.region}:.*function:shop-\\*-subgraph`));
    const [, url] = calls.find(([, it]) => it.actions.includes('lambda:InvokeFunctionUrl'))!;
    assert.deepEqual(url.Condition, { StringEquals: { 'lambda:FunctionUrlAuthType': 'AWS_IAM' } });
  }
});

test('whoever asks for the gateway of a region is told its own name', () => {
  const told = (stack: Stack) => one(stack, 'AWS::SSM::Parameter', (it) => it.Name === '/shop/gateway/url').Value;
  assert.equal(told(gateway), `https://${DOMAIN.of(HOME)}`);
  const alone = new GatewayStack(new App(), { deployment: deployment(), region: HOME, registry: registryManifest() });
  assert.ok(told(alone)['Fn::GetAtt'], 'without a domain it is the one that AWS gives');
});

test('what can go wrong with registry and gateway has an alarm that somebody is told of', () => {
  for (const [stack, name, more] of [[registry, 'registry', []], [gateway, 'gateway', ['slow', 'subgraphs']]] as const) {
    const alarms = resources(stack, 'AWS::CloudWatch::Alarm');
    assert.deepEqual(alarms.map((it) => it.AlarmName).sort(), ['errors', 'failures', 'throttles', ...more].sort().map((what) => `shop-${name}-${what}`));
    for (const alarm of alarms) assert.equal(alarm.AlarmActions.length, 1, alarm.AlarmName);
    one(stack, 'AWS::Logs::LogGroup', (it) => it.LogGroupName === `/aws/apigateway/shop-${name}`);
  }
  // Which subgraphs there are is not known here: the alarm is of all of them in the region.
  const { Metrics: [of], Threshold } = one(gateway, 'AWS::CloudWatch::Alarm', (it) => it.AlarmName === 'shop-gateway-subgraphs');
  assert.equal(of.Expression, `SELECT SUM(SubgraphErrors) FROM SCHEMA("Tributary/shop", Region, Subgraph) WHERE Region = '${HOME}'`);
  assert.deepEqual([of.Period, of.ReturnData, Threshold], [300, true, 20]);
});

/** The metrics on a stack's dashboard, by the titles of its graphs. */
function graphs(stack: Stack): Map<string, Json[]> {
  const { DashboardBody: body } = one(stack, 'AWS::CloudWatch::Dashboard', () => true);
  const text: string = body['Fn::Join'][1].map((it: Json) => (typeof it === 'string' ? it : 'resource')).join('');
  return new Map(JSON.parse(text).widgets.map(({ properties: it }: Json) => [it.title, it.metrics]));
}

/** A metric of the gateway's own on the dashboard: its name and its dimensions. */
function own(metric: Json[]): [string, string[]] | undefined {
  const { expression } = metric.at(-1) as Json;
  if (expression === undefined) {
    const [namespace, name, ...dimensions] = metric;
    return namespace === 'Tributary/shop' ? [name, dimensions.filter((it, at) => at % 2 === 0 && typeof it === 'string')] : undefined;
  }
  const sum = /^SELECT SUM\((\w+)\) FROM SCHEMA\("Tributary\/shop", (.*?)\) WHERE Region = '([a-z0-9-]+)'/.exec(expression);
  const search = /^SEARCH\('\{"Tributary\/shop",(.*?)\} MetricName="(\w+)" Region="([a-z0-9-]+)"', 'p99'\)$/.exec(expression);
  assert.equal(sum?.[3] ?? search?.[3], HOME, expression);
  return [(sum?.[1] ?? search?.[2])!, (sum?.[2] ?? search?.[1])!.split(/, ?/)];
}

test('all that the gateway measures is on its dashboard, by the dimensions that it writes', () => {
  const readme = readFileSync(new URL('../../../services/gateway/README.md', import.meta.url), 'utf8');
  // A row names metrics, then the dimensions that they have all.
  const rows = [...readme.matchAll(/^\| (`(?:Gateway|Subgraph)[A-Z].*?) \| ?(.*?) ?\|$/gm)];
  const names = (text: string) => [...text.replaceAll(/\(.*?\)/g, '').matchAll(/`([A-Z]\w+)`/g)].map(([, it]) => it!);
  const measured = new Map(rows.flatMap(([, metrics, dimensions]) => names(metrics!).map((it) => [it, ['Region', ...names(dimensions!)]])));
  assert.equal(measured.size, 8);
  const shown = [...graphs(gateway).values()].flat().map(own).filter((it) => it !== undefined);
  for (const [name, dimensions] of shown) assert.deepEqual(dimensions, measured.get(name), name);
  assert.deepEqual(new Set(shown.map(([name]) => name)), new Set(measured.keys()));
});

test('each region has a dashboard of its registry and of its gateway', () => {
  for (const [all, name] of [[suite.registries, 'registry'], [suite.gateways, 'gateway']] as const) {
    for (const stack of all) {
      one(stack, 'AWS::CloudWatch::Dashboard', (it) => it.DashboardName === `shop-${name}-${stack.region}`);
      const shown = graphs(stack);
      for (const title of ['Requests', 'Refused (4xx), failed (5xx)', 'From request to answer, ms', 'Duration, ms', 'Errors, throttles']) {
        assert.ok(shown.has(title), `${name}: ${title}`);
      }
    }
  }
});

test('without a registry there is neither it nor a gateway', () => {
  const { registries, gateways, services } = made(new App(), { deployment: deployment({ regions: [HOME] }), apps: [], generations: {} });
  assert.deepEqual([registries, gateways], [[], []]);
  assert.ok(services.length > 0);
});
