// The gateway in a region: its function behind an HTTP API, under names that lead to the nearest region, and to the
// next one where that fails.

import { ArnFormat, aws_apigatewayv2 as apigateway, aws_certificatemanager as acm, aws_dynamodb as dynamodb, aws_iam as iam, type aws_lambda as lambda, RemovalPolicy, aws_route53 as route53, aws_s3 as s3, aws_sns as sns, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { privateBucket } from './bucket.ts';
import { type Deployment, DeploymentError } from './deployment.ts';
import { except, exceptWildcard } from './exceptions.ts';
import { makeFunction } from './function.ts';
import { measure } from './gateway-metrics.ts';
import { serve } from './http-api.ts';
import type { RegistryManifest } from './registry-stack.ts';

/** The public name, and those that CloudFront asks. */
export class Domain {
  /** Clients ask it. */
  readonly name: string;
  readonly zoneId: string;
  readonly zoneName: string;

  constructor(name: string, zoneId: string, zoneName: string) {
    if (name !== zoneName && !name.endsWith(`.${zoneName}`)) {
      throw new DeploymentError(`${name} is not in the zone ${zoneName}`);
    }
    this.name = name;
    this.zoneId = zoneId;
    this.zoneName = zoneName;
  }

  /** Leads to the nearest region that is well. */
  get origin(): string {
    return `origin.${this.name}`;
  }

  /** Leads to another region than the nearest. */
  get fallback(): string {
    return `elsewhere.origin.${this.name}`;
  }

  /** Leads to this region, well or not: health checks ask it. */
  of(region: string): string {
    return `${region}.origin.${this.name}`;
  }
}

/** The zone of a domain, by what is known of it: nobody is asked during synth. */
export function zone(scope: Construct, domain: Domain): route53.IHostedZone {
  return route53.HostedZone.fromHostedZoneAttributes(scope, 'Zone', { hostedZoneId: domain.zoneId, zoneName: domain.zoneName });
}

export interface GatewayProps {
  deployment: Deployment;
  region: string;
  /** What it needs of the registry: where usage goes. */
  registry: RegistryManifest;
  /** Without one, the API has the name that AWS gives it, and no edge can stand before it. */
  domain?: Domain;
}

/** Where what was served last is kept in the gateway's own bucket. */
const LAST_GOOD = 'last-good';

export class GatewayStack extends Stack {
  readonly fn: lambda.Function;
  readonly api: apigateway.HttpApi;
  readonly stage: apigateway.HttpStage;
  /** Persisted queries, by hash. */
  readonly documents: dynamodb.Table;
  /** What was served last: a start needs no registry's bucket. */
  readonly kept: s3.Bucket;

  constructor(scope: Construct, { deployment, region, registry, domain }: GatewayProps) {
    super(scope, `${deployment.named('gateway')}-${region}`, {
      env: { region, ...(deployment.account !== undefined && { account: deployment.account }) },
      description: `Tributary: the gateway in ${region}`,
    });
    const alarmTopic = sns.Topic.fromTopicArn(this, 'Alarms', deployment.find(this, 'alarms/topic'));
    const schemas = s3.Bucket.fromBucketName(this, 'Schemas', deployment.find(this, 'registry/bucket'));
    this.documents = new dynamodb.Table(this, 'Documents', {
      tableName: deployment.named('gateway-documents'),
      partitionKey: { name: 'pk', type: dynamodb.AttributeType.STRING },
      sortKey: { name: 'sk', type: dynamodb.AttributeType.STRING },
      billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
      timeToLiveAttribute: 'ttl',
      removalPolicy: RemovalPolicy.DESTROY,
    });
    except(this.documents, 'AwsSolutions-DDB3', 'A cache: a client whose query is not there sends it once more.');
    this.kept = privateBucket(this, 'Kept', deployment, { name: 'gateway', retain: false });
    except(this.kept, 'AwsSolutions-S1', 'It holds one object, a copy of what the registry deployed; the gateway alone reads and writes it.');
    this.fn = makeFunction(this, { deployment }, deployment.code('gateway'), {
      name: 'gateway',
      handler: 'gateway',
      // API Gateway gives an answer 30 s.
      timeoutSeconds: 29,
      memoryMb: 1_024,
      environment: {
        GATEWAY_REGISTRY: `s3://${schemas.bucketName}`,
        GATEWAY_LAST_GOOD: `s3://${this.kept.bucketName}/${LAST_GOOD}`,
        GATEWAY_DOCUMENTS_TABLE: this.documents.tableName,
        GATEWAY_SIGV4: 'true',
        GATEWAY_USAGE: 'true',
        GATEWAY_PRODUCTION: 'true',
      },
    });
    allowSchemas(this.fn, schemas, registry.bucket.usage);
    this.fn.addToRolePolicy(
      new iam.PolicyStatement({ actions: ['s3:GetObject', 's3:PutObject'], resources: [this.kept.arnForObjects(`${LAST_GOOD}/supergraph.graphql`)] }),
    );
    this.fn.addToRolePolicy(new iam.PolicyStatement({ actions: ['dynamodb:GetItem', 'dynamodb:PutItem'], resources: [this.documents.tableArn] }));
    allowSubgraphs(this, deployment, this.fn);
    const served = serve(this, deployment, {
      name: 'gateway',
      description: `The graph in ${region}`,
      fn: this.fn,
      alarmTopic,
      endpoint: domain === undefined,
      open: 'A public graph: who may see what is decided by the gateway, field by field.',
      rate: 2_000,
      burst: 4_000,
    });
    this.api = served.api;
    this.stage = served.stage;
    measure(this, { deployment, region, fn: this.fn, served, alarmTopic });
    deployment.publish(this, 'gateway/url', domain ? `https://${domain.of(region)}` : this.api.apiEndpoint);
    if (domain) names(this, deployment, region, domain);
  }
}

/** It reads what the registry deployed, and writes what clients use. */
function allowSchemas(fn: lambda.Function, schemas: s3.IBucket, usage: string): void {
  const read = ['objects/*', 'variants/*/pointer.json'].map((it) => schemas.arnForObjects(it));
  const written = schemas.arnForObjects(`${usage}*`);
  // What was never published is told from what is forbidden to those alone who may list.
  fn.addToRolePolicy(new iam.PolicyStatement({ actions: ['s3:ListBucket'], resources: [schemas.bucketArn] }));
  fn.addToRolePolicy(new iam.PolicyStatement({ actions: ['s3:GetObject'], resources: read }));
  fn.addToRolePolicy(new iam.PolicyStatement({ actions: ['s3:PutObject'], resources: [written] }));
  for (const it of [...read, written]) {
    exceptWildcard(fn.role ?? fn, it, 'Schemas are named by their hash, variants by their teams, usage by time: nobody knows them beforehand.');
  }
}

/** The gateway signs what it sends: nobody else gets in. A subgraph is asked by its function's URL, or invoked by its ARN. */
function allowSubgraphs(stack: Stack, deployment: Deployment, fn: lambda.Function): void {
  const subgraphs = stack.formatArn({
    service: 'lambda',
    resource: 'function',
    resourceName: deployment.named('*-subgraph'),
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
  exceptWildcard(fn.role ?? fn, subgraphs, 'Which services there are is decided by their teams; all that is called a subgraph is meant, in this region.');
  fn.addToRolePolicy(
    new iam.PolicyStatement({
      actions: ['lambda:InvokeFunctionUrl'],
      resources: [subgraphs],
      conditions: { StringEquals: { 'lambda:FunctionUrlAuthType': 'AWS_IAM' } },
    }),
  );
  fn.addToRolePolicy(new iam.PolicyStatement({ actions: ['lambda:InvokeFunction'], resources: [subgraphs] }));
}

function names(stack: GatewayStack, deployment: Deployment, region: string, domain: Domain): void {
  const hosted = zone(stack, domain);
  const certificate = new acm.Certificate(stack, 'Certificate', {
    domainName: domain.origin,
    subjectAlternativeNames: [`*.${domain.origin}`],
    validation: acm.CertificateValidation.fromDns(hosted),
  });
  const named = (id: string, domainName: string) => {
    const made = new apigateway.DomainName(stack, id, {
      domainName,
      certificate,
      securityPolicy: apigateway.SecurityPolicy.TLS_1_2,
    });
    new apigateway.ApiMapping(stack, `${id}Mapping`, { api: stack.api, domainName: made, stage: stack.stage });
    return made;
  };
  const own = named('Own', domain.of(region));
  const alias = (to: apigateway.DomainName): route53.CfnRecordSet.AliasTargetProperty => ({
    dnsName: to.regionalDomainName,
    hostedZoneId: to.regionalHostedZoneId,
    evaluateTargetHealth: false,
  });
  new route53.CfnRecordSet(stack, 'OwnRecord', { hostedZoneId: domain.zoneId, name: domain.of(region), type: 'A', aliasTarget: alias(own) });
  const health = new route53.CfnHealthCheck(stack, 'Health', {
    healthCheckConfig: {
      type: 'HTTPS',
      fullyQualifiedDomainName: domain.of(region),
      resourcePath: '/health',
      port: 443,
      enableSni: true,
      requestInterval: 10,
      failureThreshold: 3,
    },
    healthCheckTags: [{ key: 'Name', value: `${deployment.named('gateway')}-${region}` }],
  });
  const byLatency = (id: string, name: string, to: apigateway.DomainName, near: string) =>
    new route53.CfnRecordSet(stack, id, {
      hostedZoneId: domain.zoneId,
      name,
      type: 'A',
      setIdentifier: region,
      region: near,
      healthCheckId: health.attrHealthCheckId,
      aliasTarget: alias(to),
    });
  byLatency('OriginRecord', domain.origin, named('Origin', domain.origin), region);
  // Who is nearest to the region before this one is led here, so that a second try never meets the first one's region.
  const { regions } = deployment;
  const before = regions[(regions.indexOf(region) + regions.length - 1) % regions.length] ?? region;
  byLatency('FallbackRecord', domain.fallback, named('Fallback', domain.fallback), before);
}
