// What the gateway itself measures (services/gateway's README lists it): its dashboard, and what is alarmed of.

import { aws_cloudwatch as cloudwatch, type Duration, type aws_lambda as lambda, type aws_sns as sns } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { FIVE_MINUTES, raise } from './alarm.ts';
import { dashboard, graph, MINUTE, rowsOfApi } from './dashboard.ts';
import type { Deployment } from './deployment.ts';
import type { Served } from './http-api.ts';

/** As many failures in a row have the gateway leave a subgraph alone for a while. */
const FAILURES = 20;
/** An operation of the log's slow ones takes 2 s; a cold start of the gateway and of a subgraph is within this. */
const SLOW_MS = 5_000;
/** Operations are many; those that count most are shown. */
const SHOWN = 20;

export interface MeasuredGateway {
  deployment: Deployment;
  region: string;
  fn: lambda.IFunction;
  served: Served;
  alarmTopic: sns.ITopic;
}

/** What the gateway tells apart: names that clients and teams choose, so that nobody knows them beforehand. */
type By = 'Operation' | 'Cache' | 'Subgraph';

/** The dimensions of a metric besides the region, as the gateway writes them. */
const DIMENSIONS: Record<string, By[]> = {
  GatewayOperations: ['Operation', 'Cache'],
  GatewayErrors: ['Operation'],
  GatewayDuration: ['Operation'],
  GatewayResponseBytes: ['Operation'],
  SubgraphRequests: ['Subgraph'],
  SubgraphErrors: ['Subgraph'],
  SubgraphDuration: ['Subgraph'],
};

export function measure(scope: Construct, { deployment, region, fn, served, alarmTopic }: MeasuredGateway): void {
  const namespace = deployment.metrics;
  const expression = (text: string, period: Duration) => new cloudwatch.MathExpression({ expression: text, label: '', period });
  /** Sums, the largest first (CloudWatch Metrics Insights). */
  const sums = (metric: string, period: Duration, by?: By) => {
    const schema = [`"${namespace}"`, 'Region', ...(DIMENSIONS[metric] ?? [])].join(', ');
    const grouped = by ? ` GROUP BY ${by} ORDER BY SUM() DESC LIMIT ${SHOWN}` : '';
    return expression(`SELECT SUM(${metric}) FROM SCHEMA(${schema}) WHERE Region = '${region}'${grouped}`, period);
  };
  /** A percentile for each name. */
  const each = (metric: string, statistic: string) => {
    const schema = [`"${namespace}"`, 'Region', ...(DIMENSIONS[metric] ?? [])].join(',');
    return expression(`SEARCH('{${schema}} MetricName="${metric}" Region="${region}"', '${statistic}')`, MINUTE);
  };
  const planning = (statistic: string) =>
    new cloudwatch.Metric({ namespace, metricName: 'GatewayPlanning', dimensionsMap: { Region: region }, statistic, period: MINUTE, label: statistic });
  dashboard(scope, deployment, 'gateway', region, [
    [
      graph('Operations', region, [sums('GatewayOperations', MINUTE, 'Operation')]),
      graph("Operations, by the gateway's own cache", region, [sums('GatewayOperations', MINUTE, 'Cache')]),
      graph('Operations with errors', region, [sums('GatewayErrors', MINUTE, 'Operation')]),
    ],
    [
      graph('Operations p99, ms', region, [each('GatewayDuration', 'p99')]),
      graph('Planning, ms; plans made', region, [planning('p50'), planning('p99')], [planning('SampleCount')]),
      graph('Answers p99, bytes', region, [each('GatewayResponseBytes', 'p99')]),
    ],
    [
      graph('Requests to subgraphs', region, [sums('SubgraphRequests', MINUTE, 'Subgraph')]),
      graph('Failures of subgraphs', region, [sums('SubgraphErrors', MINUTE, 'Subgraph')]),
      graph('Subgraphs p99, ms', region, [each('SubgraphDuration', 'p99')]),
    ],
    ...rowsOfApi(served, fn, region),
  ]);
  raise(scope, deployment, alarmTopic, {
    name: 'gateway-subgraphs',
    metric: sums('SubgraphErrors', FIVE_MINUTES),
    above: FAILURES,
    description: 'Subgraphs fail, or don\'t answer in time, so that answers have parts missing. The dashboard says which, the log why.',
  });
  raise(scope, deployment, alarmTopic, {
    name: 'gateway-slow',
    metric: served.api.metricLatency({ statistic: 'p99', period: FIVE_MINUTES }),
    above: SLOW_MS,
    description: 'One answer in a hundred takes longer than 5 s. The log has slow operations with their plans.',
  });
}
