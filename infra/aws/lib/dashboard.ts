// Dashboards of what answers behind an API.

import { aws_cloudwatch as cloudwatch, Duration, type aws_lambda as lambda } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { Deployment } from './deployment.ts';
import type { Served } from './http-api.ts';

export const MINUTE = Duration.minutes(1);
const SUM = { statistic: 'Sum', period: MINUTE };

/** A third of a row. */
export function graph(title: string, region: string, left: cloudwatch.IMetric[], right: cloudwatch.IMetric[] = []): cloudwatch.IWidget {
  return new cloudwatch.GraphWidget({ title, left, right, width: 8, height: 6, region });
}

/** What AWS sees of a function behind an API, in rows. */
export function rowsOfApi({ api }: Served, fn: lambda.IFunction, region: string): cloudwatch.IWidget[][] {
  const percentiles = (metric: (props: cloudwatch.MetricOptions) => cloudwatch.Metric) =>
    ['p50', 'p99'].map((statistic) => metric({ statistic, period: MINUTE, label: statistic }));
  return [
    [
      graph('Requests', region, [api.metricCount(SUM)]),
      graph('Refused (4xx), failed (5xx)', region, [api.metricClientError(SUM)], [api.metricServerError(SUM)]),
      graph('From request to answer, ms', region, percentiles((it) => api.metricLatency(it))),
    ],
    [
      graph('Invocations; at once', region, [fn.metricInvocations(SUM)], [fn.metric('ConcurrentExecutions', { statistic: 'Maximum', period: MINUTE })]),
      graph('Duration, ms', region, percentiles((it) => fn.metricDuration(it))),
      graph('Errors, throttles', region, [fn.metricErrors(SUM)], [fn.metricThrottles(SUM)]),
    ],
  ];
}

export function dashboard(scope: Construct, deployment: Deployment, name: string, region: string, widgets: cloudwatch.IWidget[][]): void {
  new cloudwatch.Dashboard(scope, 'Dashboard', { dashboardName: `${deployment.named(name)}-${region}`, widgets });
}
