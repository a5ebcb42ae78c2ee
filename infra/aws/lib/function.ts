// A function of a binary of ours, with nothing allowed but to log.

import { Duration, type aws_events as events, aws_iam as iam, aws_lambda as lambda, aws_logs as logs, RemovalPolicy } from 'aws-cdk-lib';
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

export function makeFunction(scope: Construct, place: Place, code: lambda.Code, declared: Declared): lambda.Function {
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
  except(role, 'AwsSolutions-IAM5[Resource::*]', 'Trace segments and the lists of streams and of mappings belong to no resource: AWS allows them for all or none.');
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
    },
  });
}
