import { Duration, RemovalPolicy, aws_sqs as sqs } from 'aws-cdk-lib';
import type { Queue } from '../manifest.ts';
import type { Micrograph } from '../micrograph.ts';

/** A queue whose name is known when the stack is synthesized. */
export type NamedQueue = sqs.Queue;

/** The queues and their dead-letter queues, by the manifest's names. */
export function queues(micrograph: Micrograph): Map<string, NamedQueue> {
  const made = new Map<string, NamedQueue>();
  for (const queue of micrograph.manifest.queues) {
    const letters = make(micrograph, queue, queue.deadLetterQueue);
    made.set(queue.deadLetterQueue, letters);
    made.set(queue.name, make(micrograph, queue, queue.name, { queue: letters, maxReceiveCount: queue.maxReceiveCount }));
  }
  return made;
}

/** A queue for what could not be handed over: for events that EventBridge or SNS gives up on. */
export function undeliveredQueue(micrograph: Micrograph, name: string): NamedQueue {
  const { visibilityTimeoutSeconds, retentionSeconds } = micrograph.manifest.queues[0] ?? LONGEST;
  return make(micrograph, { fifo: false, visibilityTimeoutSeconds, retentionSeconds }, name);
}

const LONGEST = { visibilityTimeoutSeconds: 180, retentionSeconds: 14 * 24 * 3600 };

function make(
  micrograph: Micrograph,
  queue: Pick<Queue, 'fifo' | 'visibilityTimeoutSeconds' | 'retentionSeconds'>,
  name: string,
  deadLetterQueue?: sqs.DeadLetterQueue,
): NamedQueue {
  const { deployment } = micrograph;
  return new sqs.Queue(micrograph, `Queue-${name}`, {
    queueName: deployment.named(name),
    visibilityTimeout: Duration.seconds(queue.visibilityTimeoutSeconds),
    retentionPeriod: Duration.seconds(queue.retentionSeconds),
    encryption: sqs.QueueEncryption.SQS_MANAGED,
    enforceSSL: true,
    // What is in a queue is archived too, and comes again by a replay.
    removalPolicy: RemovalPolicy.DESTROY,
    ...(queue.fifo && {
      fifo: true,
      // A message holds its command's id: equal content is the same command.
      contentBasedDeduplication: true,
      deduplicationScope: sqs.DeduplicationScope.MESSAGE_GROUP,
      fifoThroughputLimit: sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID,
    }),
    ...(deadLetterQueue && { deadLetterQueue }),
  });
}
