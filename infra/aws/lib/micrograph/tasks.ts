import { Duration, aws_events as events, aws_events_targets as targets, aws_iam as iam, type aws_lambda as lambda } from 'aws-cdk-lib';
import { exceptWildcard } from '../exceptions.ts';
import { makeFunction } from '../function.ts';
import type { Micrograph } from '../micrograph.ts';

/** The functions that nothing but a long clock, or somebody, invokes. */
export function tasks(micrograph: Micrograph, code: lambda.Code): Map<string, lambda.Function> {
  const { deployment, manifest } = micrograph;
  const made = new Map<string, lambda.Function>();
  for (const task of manifest.tasks ?? []) {
    const fn = makeFunction(micrograph, micrograph, code, task);
    made.set(task.name, fn);
    if (task.everyHours !== undefined) {
      new events.Rule(micrograph, `Schedule-${task.name}`, {
        ruleName: deployment.named(task.name),
        schedule: events.Schedule.rate(Duration.hours(task.everyHours)),
        targets: [new targets.LambdaFunction(fn)],
      });
    }
  }
  return made;
}

/** Tells every function where the buckets are, and lets those use them that the manifest names. */
export function openBuckets(micrograph: Micrograph): void {
  for (const { name, writers, removers } of micrograph.manifest.buckets ?? []) {
    const { bucket, variable } = micrograph.bucket(name);
    for (const fn of micrograph.functions.values()) fn.addEnvironment(variable, bucket.bucketName);
    for (const writer of writers) {
      const fn = micrograph.fn(writer);
      const objects = ['s3:GetObject', 's3:PutObject', ...(removers.includes(writer) ? ['s3:DeleteObject'] : [])];
      fn.addToRolePolicy(new iam.PolicyStatement({ actions: ['s3:ListBucket'], resources: [bucket.bucketArn] }));
      fn.addToRolePolicy(new iam.PolicyStatement({ actions: objects, resources: [bucket.arnForObjects('*')] }));
      if (bucket.encryptionKey) {
        const { keyArn } = bucket.encryptionKey;
        fn.addToRolePolicy(new iam.PolicyStatement({ actions: ['kms:Decrypt', 'kms:GenerateDataKey'], resources: [keyArn] }));
      }
      exceptWildcard(fn.role ?? fn, bucket.arnForObjects('*'), 'Objects are named by domain, hour and content: all of the bucket is meant.');
    }
  }
}
