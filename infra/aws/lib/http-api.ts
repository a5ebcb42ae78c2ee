// A function behind an HTTP API of API Gateway, with its log, its limits and its alarms.

import { aws_apigatewayv2 as apigateway, aws_apigatewayv2_integrations as integrations, type aws_lambda as lambda, aws_logs as logs, RemovalPolicy, type aws_sns as sns } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { FIVE_MINUTES, raise, raiseOfFunction } from './alarm.ts';
import type { Deployment } from './deployment.ts';
import { except } from './exceptions.ts';

export interface ServedProps {
  /** Before any prefix of the deployment. */
  name: string;
  description: string;
  fn: lambda.Function;
  /** Is told of its alarms. */
  alarmTopic: sns.ITopic;
  /** Who checks the callers; where nobody does, `open` says why. */
  authorizer?: apigateway.IHttpRouteAuthorizer;
  open?: string;
  /** Requests a second, and at once. */
  rate: number;
  burst: number;
  /** Whether it has the name that AWS gives it. */
  endpoint?: boolean;
}

export interface Served {
  api: apigateway.HttpApi;
  stage: apigateway.HttpStage;
}

/** An HTTP API all of whose paths lead to one function. */
export function serve(scope: Construct, deployment: Deployment, props: ServedProps): Served {
  const { name, description, fn, alarmTopic, authorizer, open, rate, burst, endpoint = true } = props;
  const api = new apigateway.HttpApi(scope, 'Api', {
    apiName: deployment.named(name),
    description,
    disableExecuteApiEndpoint: !endpoint,
    createDefaultStage: false,
    defaultIntegration: new integrations.HttpLambdaIntegration('Function', fn),
    ...(authorizer && { defaultAuthorizer: authorizer }),
  });
  if (open !== undefined) except(api, 'AwsSolutions-APIG4', open);
  const log = new logs.LogGroup(scope, 'AccessLog', {
    logGroupName: `/aws/apigateway/${deployment.named(name)}`,
    retention: logs.RetentionDays.ONE_MONTH,
    removalPolicy: RemovalPolicy.DESTROY,
  });
  const stage = new apigateway.HttpStage(scope, 'Stage', {
    httpApi: api,
    stageName: '$default',
    autoDeploy: true,
    throttle: { rateLimit: rate, burstLimit: burst },
    accessLogSettings: { destination: new apigateway.LogGroupLogDestination(log) },
    detailedMetricsEnabled: true,
  });
  raiseOfFunction(scope, deployment, alarmTopic, name, fn);
  raise(scope, deployment, alarmTopic, {
    name: `${name}-failures`,
    metric: api.metricServerError({ statistic: 'Sum', period: FIVE_MINUTES }),
    above: 0,
    description: 'Requests were answered with 5xx: the function failed, or took longer than API Gateway waits.',
  });
  return { api, stage };
}
