// The gateway in a region: its function behind an HTTP API, under names that lead to the nearest region, and to the
// next one where that fails.

import { ArnFormat, aws_apigatewayv2 as apigateway, aws_apigatewayv2_integrations as integrations, aws_certificatemanager as acm, aws_events as events, aws_iam as iam, type aws_lambda as lambda, aws_logs as logs, RemovalPolicy, aws_route53 as route53, Stack, Token } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { type Deployment, DeploymentError } from './deployment.ts';
import { except } from './exceptions.ts';
import { makeFunction } from './function.ts';

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
  /** Without one, the API has the name that AWS gives it, and no edge can stand before it. */
  domain?: Domain;
}

export class GatewayStack extends Stack {
  readonly fn: lambda.Function;
  readonly api: apigateway.HttpApi;
  readonly stage: apigateway.HttpStage;

  constructor(scope: Construct, { deployment, region, domain }: GatewayProps) {
    super(scope, `${deployment.named('gateway')}-${region}`, {
      env: { region, ...(deployment.account !== undefined && { account: deployment.account }) },
      description: `Tributary: the gateway in ${region}`,
    });
    const bus = events.EventBus.fromEventBusName(this, 'Bus', deployment.find(this, 'bus/name'));
    const place = { deployment, bus };
    this.fn = makeFunction(this, place, deployment.code('gateway'), {
      name: 'gateway',
      handler: 'gateway',
      // API Gateway gives an answer 30 s.
      timeoutSeconds: 29,
      memoryMb: 1_024,
    });
    allowSubgraphs(this, deployment, this.fn);
    this.api = new apigateway.HttpApi(this, 'Api', {
      apiName: deployment.named('gateway'),
      description: `The graph in ${region}`,
      disableExecuteApiEndpoint: domain !== undefined,
      createDefaultStage: false,
      defaultIntegration: new integrations.HttpLambdaIntegration('Gateway', this.fn),
    });
    except(this.api, 'AwsSolutions-APIG4', 'A public graph: who may see what is decided by the gateway, field by field.');
    const log = new logs.LogGroup(this, 'AccessLog', {
      logGroupName: `/aws/apigateway/${deployment.named('gateway')}`,
      retention: logs.RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    this.stage = new apigateway.HttpStage(this, 'Stage', {
      httpApi: this.api,
      stageName: '$default',
      autoDeploy: true,
      throttle: { rateLimit: 2_000, burstLimit: 4_000 },
      accessLogSettings: { destination: new apigateway.LogGroupLogDestination(log) },
      detailedMetricsEnabled: true,
    });
    if (domain) names(this, deployment, region, domain);
  }
}

/** An ARN as cdk-nag writes it. */
function written(stack: Stack, arn: string): string {
  const known = (value: string, name: string) => (Token.isUnresolved(value) ? `<AWS::${name}>` : value);
  return arn
    .replace(stack.partition, known(stack.partition, 'Partition'))
    .replace(stack.account, known(stack.account, 'AccountId'));
}

/** The gateway signs what it sends: the functions' URLs let nobody else in. */
function allowSubgraphs(stack: Stack, deployment: Deployment, fn: lambda.Function): void {
  const subgraphs = stack.formatArn({
    service: 'lambda',
    resource: 'function',
    resourceName: deployment.named('*-subgraph'),
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
  except(
    fn.role ?? fn,
    `AwsSolutions-IAM5[Resource::${written(stack, subgraphs)}]`,
    'Which services there are is decided by their teams; all that is called a subgraph is meant, by its URL alone.',
  );
  fn.addToRolePolicy(
    new iam.PolicyStatement({
      actions: ['lambda:InvokeFunctionUrl'],
      resources: [subgraphs],
      conditions: { StringEquals: { 'lambda:FunctionUrlAuthType': 'AWS_IAM' } },
    }),
  );
  fn.addToRolePolicy(
    new iam.PolicyStatement({
      actions: ['lambda:InvokeFunction'],
      resources: [subgraphs],
      conditions: { Bool: { 'lambda:InvokedViaFunctionUrl': 'true' } },
    }),
  );
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
