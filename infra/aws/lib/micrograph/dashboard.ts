import { aws_cloudwatch as cloudwatch, Duration } from 'aws-cdk-lib';
import type { Micrograph } from '../micrograph.ts';
import { measured } from './alarms.ts';

const { GraphWidget } = cloudwatch;
const MINUTE = Duration.minutes(1);

/** From events that come to answers that go, in rows. */
export function dashboard(micrograph: Micrograph): void {
  const { deployment, manifest, region } = micrograph;
  const all = manifest.queues.map((it) => micrograph.queue(it.name));
  const functions = [...micrograph.functions.values()];
  const graph = (title: string, left: cloudwatch.IMetric[], right: cloudwatch.IMetric[] = []) =>
    new GraphWidget({ title, left, right, width: 8, height: 6, region });
  const sum = { statistic: 'Sum', period: MINUTE };
  const p99 = { statistic: 'p99', period: MINUTE };
  const rows: cloudwatch.IWidget[][] = [];
  if (all.length > 0) {
    rows.push([
      graph('Waiting', all.map((it) => it.metricApproximateNumberOfMessagesVisible({ statistic: 'Maximum', period: MINUTE }))),
      graph('Oldest, seconds', all.map((it) => it.metricApproximateAgeOfOldestMessage({ statistic: 'Maximum', period: MINUTE }))),
      graph('Quarantine', [measured(micrograph, 'QuarantineEntries', { statistic: 'Maximum', period: Duration.minutes(5) })]),
    ]);
  }
  for (const { name, deployed } of manifest.projections) {
    const of = { Projection: name };
    rows.push([
      graph(
        `${deployed}: events`,
        ['Applied', 'Stale', 'Duplicate', 'Quarantined', 'Failed'].map((it) => measured(micrograph, it, sum, of)),
      ),
      graph(`${name}: age when applied, ms`, ['p50', 'p99'].map((statistic) => measured(micrograph, 'EventAge', { statistic, period: MINUTE }, of))),
      graph(`${name}: write units`, [measured(micrograph, 'WriteUnits', sum, of)]),
    ]);
  }
  rows.push([
    graph('Invocations', functions.map((it) => it.metricInvocations(sum))),
    graph('Duration p99, ms', functions.map((it) => it.metricDuration(p99))),
    graph('Errors, throttles', functions.map((it) => it.metricErrors(sum)), functions.map((it) => it.metricThrottles(sum))),
  ]);
  const tables = [...micrograph.tables.values()];
  rows.push([
    graph('Units read', tables.map((it) => it.metricConsumedReadCapacityUnits(sum))),
    graph('Units written', tables.map((it) => it.metricConsumedWriteCapacityUnits(sum))),
  ]);
  const { database } = micrograph;
  if (database) {
    rows.push([
      graph('Database: capacity units', [database.metric('ServerlessDatabaseCapacity', 'Average', MINUTE)]),
      graph('Database: connections', [database.metric('DatabaseConnections', 'Maximum', MINUTE)]),
      graph('Database: bytes', [database.metric('VolumeBytesUsed', 'Maximum', Duration.hours(1))]),
    ]);
  }
  new cloudwatch.Dashboard(micrograph, 'Dashboard', {
    dashboardName: `${deployment.named(manifest.micrograph)}-${region}`,
    widgets: rows,
  });
}
