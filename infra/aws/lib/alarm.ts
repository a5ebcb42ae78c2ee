// Alarms, and who is told of them.

import { aws_cloudwatch as cloudwatch, aws_cloudwatch_actions as actions, Duration, type aws_lambda as lambda, type aws_sns as sns } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { Deployment } from './deployment.ts';

export const FIVE_MINUTES = Duration.minutes(5);

export interface Raised {
  /** Before any prefix of the deployment. */
  name: string;
  metric: cloudwatch.IMetric;
  above: number;
  /** What it means and what to do, in a sentence or two. */
  description: string;
}

/** An alarm that tells the topic when it begins and when it is over. */
export function raise(scope: Construct, deployment: Deployment, topic: sns.ITopic, { name, metric, above, description }: Raised): void {
  const alarm = new cloudwatch.Alarm(scope, `Alarm-${name}`, {
    alarmName: deployment.named(name),
    alarmDescription: description,
    metric,
    threshold: above,
    comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
    evaluationPeriods: 1,
    treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
  });
  const action = new actions.SnsAction(topic);
  alarm.addAlarmAction(action);
  alarm.addOkAction(action);
}

/** What AWS alone can see of a function. */
export function raiseOfFunction(scope: Construct, deployment: Deployment, topic: sns.ITopic, name: string, fn: lambda.IFunction): void {
  const sum = { statistic: 'Sum', period: FIVE_MINUTES };
  raise(scope, deployment, topic, { name: `${name}-errors`, metric: fn.metricErrors(sum), above: 0, description: 'Invocations failed; the log has why.' });
  raise(scope, deployment, topic, {
    name: `${name}-throttles`, metric: fn.metricThrottles(sum), above: 0, description: 'Invocations were throttled: too little concurrency is left.',
  });
}
