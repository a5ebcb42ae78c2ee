import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { App, type Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { authority } from '../lib/authorities.ts';
import { DeploymentError } from '../lib/deployment.ts';
import { withGeneration } from '../lib/manifest.ts';
import { ServiceStack } from '../lib/service-stack.ts';
import { serviceManifests } from '../lib/suite.ts';
import { AWAY, binaries, deployment, HOME, type Json, one, resources, stacks } from './support.ts';

const suite = stacks();
const of = (region: string) => suite.services.find((it) => it.region === region && it.micrograph.manifest.micrograph === 'reporting')!;
const stack = of(HOME);
const { manifest } = stack.micrograph;
const inside = manifest.functions.filter((it) => it.relational);
const functionOf = (name: string) => one(stack, 'AWS::Lambda::Function', (it) => it.FunctionName === `shop-${name}`);

/** What a function's role allows. */
function statements(name: string): Json[] {
  const role = functionOf(name).Role['Fn::GetAtt'][0];
  const policies = resources(stack, 'AWS::IAM::Policy').filter((it) => it.Roles.some((one: Json) => one.Ref === role));
  return policies.flatMap((it) => it.PolicyDocument.Statement);
}

function idOf(inStack: Stack, type: string): string {
  const ids = Object.keys(Template.fromStack(inStack).findResources(type));
  assert.equal(ids.length, 1, type);
  return ids[0]!;
}

test('each region has a database of its own, and no other service has one', () => {
  for (const service of suite.services) {
    const count = service.micrograph.manifest.micrograph === 'reporting' ? 1 : 0;
    Template.fromStack(service).resourceCountIs('AWS::RDS::DBCluster', count);
    Template.fromStack(service).resourceCountIs('AWS::EC2::VPC', count);
  }
  assert.ok(of(AWAY));
  Template.fromStack(stack).resourceCountIs('AWS::RDS::GlobalCluster', 0);
});

test('the database pauses, is encrypted, backed up and protected, and has no password', () => {
  const cluster = one(stack, 'AWS::RDS::DBCluster', () => true);
  assert.deepEqual(cluster.ServerlessV2ScalingConfiguration, { MinCapacity: 0, MaxCapacity: 4, SecondsUntilAutoPause: 300 });
  assert.equal(cluster.Engine, 'aurora-postgresql');
  assert.equal(cluster.StorageEncrypted, true);
  assert.equal(cluster.DeletionProtection, true);
  assert.ok(cluster.BackupRetentionPeriod >= 7);
  assert.equal(cluster.EnableIAMDatabaseAuthentication, true);
  assert.equal(cluster.MasterUserAuthenticationType, 'iam-db-auth');
  for (const secret of ['MasterUserPassword', 'ManageMasterUserPassword']) assert.equal(cluster[secret], undefined, secret);
  Template.fromStack(stack).resourceCountIs('AWS::SecretsManager::Secret', 0);
  const [made] = Object.values(Template.fromStack(stack).findResources('AWS::RDS::DBCluster')) as Json[];
  assert.equal(made.DeletionPolicy, 'Snapshot');
  const writer = one(stack, 'AWS::RDS::DBInstance', () => true);
  assert.equal(writer.PubliclyAccessible, false);
  assert.equal(writer.DBInstanceClass, 'db.serverless');
  const { Parameters: parameters } = one(stack, 'AWS::RDS::DBClusterParameterGroup', () => true);
  assert.equal(parameters['rds.force_ssl'], '1');
  // Lambda freezes processes: their connections must end for it to pause, and what is bound must not be logged.
  assert.ok(Number(parameters.idle_session_timeout) < 300_000);
  assert.equal(parameters.log_parameter_max_length, '0');
});

test('its network leads nowhere but to the endpoints that its functions use', () => {
  const template = Template.fromStack(stack);
  for (const way of ['InternetGateway', 'NatGateway', 'EgressOnlyInternetGateway', 'VPCGatewayAttachment']) template.resourceCountIs(`AWS::EC2::${way}`, 0);
  template.resourceCountIs('AWS::EC2::Route', 0);
  for (const subnet of resources(stack, 'AWS::EC2::Subnet')) assert.equal(subnet.MapPublicIpOnLaunch, false);
  const text = (it: Json) => JSON.stringify(it.ServiceName);
  const services = resources(stack, 'AWS::EC2::VPCEndpoint').map((it) => /[.]([a-z0-9]+)"/.exec(text(it))?.[1]).sort();
  assert.deepEqual(services, ['dynamodb', 'events', 'lambda', 's3', 'sqs']);
  for (const endpoint of resources(stack, 'AWS::EC2::VPCEndpoint')) {
    const [statement, ...more] = endpoint.PolicyDocument.Statement;
    assert.deepEqual(more, []);
    assert.deepEqual(Object.keys(statement.Condition.StringEquals), ['aws:PrincipalAccount'], 'another account could speak through it');
    assert.equal(endpoint.PrivateDnsEnabled, endpoint.VpcEndpointType === 'Interface' || undefined);
  }
  one(stack, 'AWS::EC2::FlowLog', () => true);
});

test('only its functions reach the database, and it reaches nothing', () => {
  const group = (it: Json) => it.SecurityGroupIds ?? it.VpcSecurityGroupIds;
  const cluster = one(stack, 'AWS::RDS::DBCluster', () => true);
  const [database] = group(cluster);
  const ingress = resources(stack, 'AWS::EC2::SecurityGroupIngress').filter((it) => JSON.stringify(it.GroupId) === JSON.stringify(database));
  assert.equal(ingress.length, 1);
  const users = functionOf(inside[0]!.name).VpcConfig.SecurityGroupIds[0];
  assert.deepEqual([ingress[0].SourceSecurityGroupId, ingress[0].FromPort, ingress[0].ToPort], [users, cluster.Port, cluster.Port]);
  for (const it of resources(stack, 'AWS::EC2::SecurityGroup')) {
    const open = (it.SecurityGroupIngress ?? []).filter((rule: Json) => rule.CidrIp !== undefined);
    assert.deepEqual(open, [], it.GroupDescription);
  }
});

test('the functions that use the database are in its network, and no other', () => {
  assert.deepEqual(inside.map((it) => it.handler).sort(), ['consumer.sales-1', 'generations', 'subgraph']);
  for (const fn of manifest.functions) {
    const { VpcConfig: vpc, Layers: layers, Environment: environment } = functionOf(fn.name);
    assert.equal(vpc !== undefined, inside.includes(fn), fn.name);
    assert.equal(layers !== undefined, inside.includes(fn), fn.name);
    assert.equal(environment.Variables.DATABASE_URL !== undefined, inside.includes(fn), fn.name);
  }
});

test('a function is let in as who it is, by IAM, over a connection that is verified', () => {
  const cluster = idOf(stack, 'AWS::RDS::DBCluster');
  for (const fn of inside) {
    const user = fn.relational === 'owns' ? 'reporting' : 'reader';
    const connect = statements(fn.name).filter((it) => it.Action === 'rds-db:connect');
    assert.equal(connect.length, 1, fn.name);
    const written = JSON.stringify(connect[0].Resource);
    assert.ok(written.includes(`{"Fn::GetAtt":["${cluster}","DBClusterResourceId"]},"/${user}"`), written);
    const { DATABASE_URL: url, DATABASE_AUTH: auth, DATABASE_READER: reader } = functionOf(fn.name).Environment.Variables;
    const [, parts] = url['Fn::Join'];
    assert.equal(parts[0], `postgres://${user}@`);
    assert.equal(parts.at(-1), '/reporting?sslmode=verify-full&sslrootcert=/opt/rds.pem');
    assert.equal(auth, 'iam');
    assert.equal(reader, fn.relational === 'owns' ? 'reader' : undefined);
  }
  assert.equal(inside.find((it) => it.handler === 'subgraph')?.relational, 'asks');
  const others = manifest.functions.filter((it) => !inside.includes(it));
  for (const fn of others) assert.ok(!statements(fn.name).some((it) => [it.Action].flat().some((action) => /^(rds|ec2)/.test(action))), fn.name);
});

test('what Lambda does with a network, the code of a function may not', () => {
  for (const fn of inside) {
    const network = statements(fn.name).filter((it) => [it.Action].flat().some((action) => action.startsWith('ec2:')));
    assert.deepEqual(network.map((it) => it.Effect).sort(), ['Allow', 'Deny'], fn.name);
    const [allowed, denied] = ['Allow', 'Deny'].map((effect) => network.find((it) => it.Effect === effect));
    assert.deepEqual(denied.Action, allowed.Action);
    assert.match(JSON.stringify(denied.Condition.ArnEquals['lambda:SourceFunctionArn']), new RegExp(`function:shop-${fn.name}"`));
  }
});

test('another build of its projection has a queue and a function that owns tables, and no table of the stack', () => {
  const after = withGeneration(manifest, 'sales', '1-1');
  assert.deepEqual(after.relational?.map((it) => it.name), ['reporting-sales-1', 'reporting-sales-1-1']);
  assert.equal(after.functions.find((it) => it.name === 'reporting-sales-1-1')?.relational, 'owns');
  assert.deepEqual(after.tables, manifest.tables);
});

test('a full database and deadlocks are told of', () => {
  for (const what of ['full', 'deadlocks']) {
    const alarm = one(stack, 'AWS::CloudWatch::Alarm', (it) => it.AlarmName === `shop-reporting-database-${what}`);
    assert.equal(alarm.AlarmActions.length, 1);
    assert.deepEqual(alarm.Dimensions, [{ Name: 'DBClusterIdentifier', Value: { Ref: idOf(stack, 'AWS::RDS::DBCluster') } }]);
  }
});

test('the authority of a region is RDS’s own, and lasts; where none is known, a file may be named', () => {
  for (const region of [HOME, AWAY, 'us-east-1']) {
    const certificate = new X509Certificate(authority(region));
    assert.equal(certificate.ca, true);
    assert.equal(certificate.subject, certificate.issuer);
    assert.ok(certificate.verify(certificate.publicKey));
    assert.match(certificate.subject, new RegExp(`CN=Amazon RDS ${region} Root CA`));
    assert.ok(Date.parse(certificate.validTo) > Date.parse('2050-01-01'), certificate.validTo);
  }
  const reporting = serviceManifests().find((it) => it.micrograph === 'reporting')!;
  const nowhere = { regions: ['xx-nowhere-1'], firstHomes: ['xx-nowhere-1'] };
  const made = (file?: string) =>
    new ServiceStack(new App(), { deployment: deployment({ ...nowhere, ...(file && { database: { authorities: file } }) }), region: 'xx-nowhere-1', manifest: reporting });
  assert.throws(() => made(), (error) => error instanceof DeploymentError && /database[.]authorities/.test(error.message));
  const file = join(binaries(), 'own.pem');
  writeFileSync(file, authority(HOME));
  assert.ok(made(file));
  assert.equal(readFileSync(file, 'utf8'), authority(HOME));
});

test('how much it may take is said once, and what Aurora would not take is refused', () => {
  const cluster = (database: Json) => {
    const { services } = stacks({ deployment: deployment({ database }) });
    return one(services.find((it) => it.micrograph.database)!, 'AWS::RDS::DBCluster', () => true).ServerlessV2ScalingConfiguration;
  };
  assert.deepEqual(cluster({ least: 0.5, most: 16 }), { MinCapacity: 0.5, MaxCapacity: 16 });
  for (const wrong of [{ least: 0.3 }, { most: 0.5 }, { least: 8 }, { most: 300 }, { least: -1 }]) {
    assert.throws(() => deployment({ database: wrong }), DeploymentError, JSON.stringify(wrong));
  }
});
