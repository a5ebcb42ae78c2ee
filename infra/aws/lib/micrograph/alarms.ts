import { aws_cloudwatch as cloudwatch, Duration, type aws_sns as sns } from 'aws-cdk-lib';
import { FIVE_MINUTES, raise, raiseOfFunction } from '../alarm.ts';
import type { Alarm, Fn } from '../manifest.ts';
import type { Micrograph } from '../micrograph.ts';
import type { NamedQueue } from './queues.ts';

/** Half an hour behind its table, an outbox has no more than a fifth of the stream's day left to notice that twice. */
const STREAM_BEHIND_MS = 30 * 60 * 1000;

/** What is alarmed of: what the manifest names, and what AWS alone can see. */
export function alarms(
  micrograph: Micrograph,
  topic: sns.ITopic,
  undelivered: ReadonlyMap<string, NamedQueue>,
): void {
  const { deployment, manifest } = micrograph;
  const told = (name: string, metric: cloudwatch.IMetric, above: number, description: string) =>
    raise(micrograph, deployment, topic, { name, metric, above, description });
  for (const alarm of manifest.alarms) {
    told(alarm.name, metric(micrograph, alarm), alarm.above, described(alarm));
  }
  for (const [name, queue] of undelivered) {
    const depth = queue.metricApproximateNumberOfMessagesVisible({ statistic: 'Maximum', period: FIVE_MINUTES });
    told(`${name}-depth`, depth, 0, 'Events could not be handed to their queue; those of queues go to the quarantine.');
  }
  ofDatabase(micrograph, told, manifest.micrograph);
  for (const [name, fn] of micrograph.functions) {
    raiseOfFunction(micrograph, deployment, topic, name, fn);
    if (streams(manifest.functions, name)) {
      const age = fn.metric('IteratorAge', { statistic: 'Maximum', period: FIVE_MINUTES });
      told(`${name}-behind`, age, STREAM_BEHIND_MS, 'Events leave the table late. A stream keeps them for 24 hours.');
    }
  }
}

/** At its most for so long, a database answers slowly, or not in time. */
const FULL_FOR = Duration.minutes(15);

function ofDatabase({ database, deployment }: Micrograph, told: (name: string, metric: cloudwatch.IMetric, above: number, description: string) => void, name: string): void {
  if (!database) return;
  const { most } = deployment.database;
  told(`${name}-database-full`, database.metric('ACUUtilization', 'Average', FULL_FOR), 90, `The database has used nearly all of its ${most} capacity units for a quarter of an hour: raise \`database.most\`, or ask for less.`);
  told(`${name}-database-deadlocks`, database.metric('Deadlocks', 'Sum', FIVE_MINUTES), 0, 'Writes of the database waited for one another in a circle. They come again; statements take locks in one order, so that somebody else wrote.');
}

function streams(functions: Fn[], name: string): boolean {
  return functions.some((it) => it.name === name && it.trigger.type === 'stream');
}

function metric(micrograph: Micrograph, alarm: Alarm): cloudwatch.IMetric {
  const maximum = { statistic: 'Maximum', period: FIVE_MINUTES };
  switch (alarm.metric) {
    case 'queueAge':
      return micrograph.queue(alarm.queue).metricApproximateAgeOfOldestMessage(maximum);
    case 'queueDepth':
      return micrograph.queue(alarm.queue).metricApproximateNumberOfMessagesVisible(maximum);
    case 'quarantineEntries':
      return measured(micrograph, 'QuarantineEntries', { ...maximum });
    case 'partsDrifted':
      return measured(micrograph, 'PartsDrifted', { ...maximum }, { Projection: alarm.projection });
  }
}

/** A metric that the functions themselves write; see shared/telemetry. */
export function measured(
  micrograph: Micrograph,
  metricName: string,
  props: { statistic: string; period: Duration },
  dimensions: Record<string, string> = {},
): cloudwatch.Metric {
  const { deployment, manifest, region } = micrograph;
  return new cloudwatch.Metric({
    namespace: deployment.metrics,
    metricName,
    dimensionsMap: { Region: region, Micrograph: manifest.micrograph, ...dimensions },
    ...props,
  });
}

function described(alarm: Alarm): string {
  switch (alarm.metric) {
    case 'queueAge':
      return `Messages have stood in the queue for half of what it keeps them; then they are gone. See what fails in the log of its function.`;
    case 'queueDepth':
      return 'A consumer gave up on messages; they are put into the quarantine.';
    case 'quarantineEntries':
      return 'Messages could not be applied. See them, with their reasons, in the quarantine; edit, redrive or discard them.';
    case 'partsDrifted':
      return 'The projection differs from its sources: the log of the function `generations` names what. An audit that repairs delivers again what is lost or stale; a rebuild makes the rest right.';
  }
}
