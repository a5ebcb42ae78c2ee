// A function of a binary of ours, with nothing allowed but to log.

import { Duration, type aws_ec2 as ec2, type aws_events as events, aws_iam as iam, aws_lambda as lambda, aws_logs as logs, RemovalPolicy, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { Deployment } from './deployment.ts';
import { except } from './exceptions.ts';

/** Where a function runs. */
export interface Place {
  readonly deployment: Deployment;
  /** The bus that it puts events on, if it does. */
  readonly bus?: events.IEventBus;
}

export interface Declared {
  /** Before any prefix of the deployment. */
  name: string;
  handler: string;
  timeoutSeconds: number;
  memoryMb: number;
  environment?: Record<string, string>;
  /** How many may run at once, where that is to be few. */
  concurrency?: number;
}

/** A network that a function runs in, and what it finds there. */
export interface Within {
  vpc: ec2.IVpc;
  securityGroup: ec2.ISecurityGroup;
  layers: lambda.ILayerVersion[];
  environment: Record<string, string>;
}

export function makeFunction(scope: Construct, place: Place, code: lambda.Code, declared: Declared, within?: Within): lambda.Function {
  const { deployment, bus } = place;
  const functionName = deployment.named(declared.name);
  const logGroup = new logs.LogGroup(scope, `Log-${declared.name}`, {
    logGroupName: `/aws/lambda/${functionName}`,
    retention: logs.RetentionDays.ONE_MONTH,
    removalPolicy: RemovalPolicy.DESTROY,
  });
  const role = new iam.Role(scope, `Role-${declared.name}`, {
    assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    description: `Of the function ${functionName}`,
  });
  role.addToPolicy(
    new iam.PolicyStatement({
      actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
      resources: [logGroup.logGroupArn],
    }),
  );
  except(role, 'AwsSolutions-IAM5[Resource::*]', 'Trace segments, interfaces of networks and the lists of streams and of mappings belong to no resource: AWS allows them for all or none.');
  if (within) attach(role, functionName);
  return new lambda.Function(scope, `Function-${declared.name}`, {
    functionName,
    code,
    role,
    logGroup,
    handler: declared.handler,
    runtime: lambda.Runtime.PROVIDED_AL2023,
    architecture: deployment.architecture,
    timeout: Duration.seconds(declared.timeoutSeconds),
    memorySize: declared.memoryMb,
    tracing: lambda.Tracing.ACTIVE,
    ...(within && { vpc: within.vpc, securityGroups: [within.securityGroup], layers: within.layers }),
    ...(declared.concurrency !== undefined && { reservedConcurrentExecutions: declared.concurrency }),
    environment: {
      TABLE_PREFIX: deployment.named(''),
      ...(bus && { EVENT_BUS: bus.eventBusName }),
      ...(deployment.regions.length > 1 && {
        REGIONS: deployment.regions.join(','),
        FIRST_HOMES: deployment.firstHomes.join(','),
      }),
      BUILD_ID: deployment.build,
      TRIBUTARY_METRICS_NAMESPACE: deployment.metrics,
      ...deployment.environment,
      ...declared.environment,
      ...within?.environment,
    },
  });
}

/** What Lambda does with a network to run a function in it; the function's own code may not. */
function attach(role: iam.Role, functionName: string): void {
  const actions = ['CreateNetworkInterface', 'DeleteNetworkInterface', 'DescribeNetworkInterfaces', 'DescribeSubnets', 'AssignPrivateIpAddresses', 'UnassignPrivateIpAddresses'].map((it) => `ec2:${it}`);
  role.addToPolicy(new iam.PolicyStatement({ actions, resources: ['*'] }));
  const { partition, region, account } = Stack.of(role);
  const source = `arn:${partition}:lambda:${region}:${account}:function:${functionName}`;
  role.addToPolicy(
    new iam.PolicyStatement({ effect: iam.Effect.DENY, actions, resources: ['*'], conditions: { ArnEquals: { 'lambda:SourceFunctionArn': source } } }),
  );
}
