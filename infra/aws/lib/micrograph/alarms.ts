import { aws_cloudwatch as cloudwatch, aws_cloudwatch_actions as actions, Duration, type aws_sns as sns } from 'aws-cdk-lib';
import type { Alarm, Fn } from '../manifest.ts';
import type { Micrograph } from '../micrograph.ts';
import type { NamedQueue } from './queues.ts';

const FIVE_MINUTES = Duration.minutes(5);
/** Half an hour behind its table, an outbox has no more than a fifth of the stream's day left to notice that twice. */
const STREAM_BEHIND_MS = 30 * 60 * 1000;

/** What is alarmed of: what the manifest names, and what AWS alone can see. */
export function alarms(
  micrograph: Micrograph,
  topic: sns.ITopic,
  undelivered: ReadonlyMap<string, NamedQueue>,
): void {
  const { deployment, manifest } = micrograph;
  const action = new actions.SnsAction(topic);
  const raise = (name: string, metric: cloudwatch.IMetric, above: number, description: string) => {
    const alarm = new cloudwatch.Alarm(micrograph, `Alarm-${name}`, {
      alarmName: deployment.named(name),
      alarmDescription: description,
      metric,
      threshold: above,
      comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
      evaluationPeriods: 1,
      treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
    });
    alarm.addAlarmAction(action);
    alarm.addOkAction(action);
  };
  for (const alarm of manifest.alarms) {
    raise(alarm.name, metric(micrograph, alarm), alarm.above, described(alarm));
  }
  for (const [name, queue] of undelivered) {
    const depth = queue.metricApproximateNumberOfMessagesVisible({ statistic: 'Maximum', period: FIVE_MINUTES });
    raise(`${name}-depth`, depth, 0, 'Events could not be handed to their queue; those of queues go to the quarantine.');
  }
  for (const [name, fn] of micrograph.functions) {
    const sum = { statistic: 'Sum', period: FIVE_MINUTES };
    raise(`${name}-errors`, fn.metricErrors(sum), 0, 'Invocations failed; the log has why.');
    raise(`${name}-throttles`, fn.metricThrottles(sum), 0, 'Invocations were throttled: too little concurrency is left.');
    if (streams(manifest.functions, name)) {
      const age = fn.metric('IteratorAge', { statistic: 'Maximum', period: FIVE_MINUTES });
      raise(`${name}-behind`, age, STREAM_BEHIND_MS, 'Events leave the table late. A stream keeps them for 24 hours.');
    }
  }
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
