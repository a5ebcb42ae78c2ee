import { Duration, Stack, aws_events as events, aws_events_targets as targets, aws_iam as iam, aws_lambda as lambda, aws_lambda_event_sources as sources } from 'aws-cdk-lib';
import type { Fn } from '../manifest.ts';
import { makeFunction } from '../function.ts';
import type { Micrograph } from '../micrograph.ts';
import type { NamedQueue } from './queues.ts';

const READS = ['dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:Query'];
// A transaction is allowed by what it does, a batch by its name.
const WRITES = ['dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem', 'dynamodb:ConditionCheckItem', 'dynamodb:BatchWriteItem'];

/** The functions, by the manifest's names, each connected to what triggers it. */
export function functions(
  micrograph: Micrograph,
  code: lambda.Code,
  undelivered: ReadonlyMap<string, NamedQueue>,
): Map<string, lambda.Function> {
  const made = new Map<string, lambda.Function>();
  for (const declared of micrograph.manifest.functions) {
    const fn = makeFunction(micrograph, micrograph, code, declared);
    made.set(declared.name, fn);
    allow(micrograph, fn, declared);
    connect(micrograph, fn, declared, undelivered);
  }
  return made;
}

function allow(micrograph: Micrograph, fn: lambda.Function, declared: Fn): void {
  const resources = (names: string[], indexes: boolean) =>
    names.flatMap((name) => {
      const arn = micrograph.table(name).tableArn;
      const own = micrograph.manifest.tables.find((it) => it.name === name)?.indexes ?? [];
      return [arn, ...(indexes ? own.map((index) => `${arn}/index/${index.name}`) : [])];
    });
  const grant = (actions: string[], on: string[]) => {
    if (on.length > 0) fn.addToRolePolicy(new iam.PolicyStatement({ actions, resources: on }));
  };
  grant(READS, resources(declared.reads, true));
  grant(WRITES, resources(declared.writes, false));
  // Commands of aggregates that are at home elsewhere are decided there.
  const decides = micrograph.manifest.decides.length > 0 && ['commands', 'subgraph'].includes(declared.handler);
  grant(['lambda:InvokeFunction'], decides ? homesElsewhere(micrograph) : []);
  if (declared.putsEvents) grant(['events:PutEvents'], [micrograph.bus.eventBusArn]);
}

/** The functions that decide this micrograph's commands in the other regions. */
function homesElsewhere({ deployment, manifest, region, bus }: Micrograph): string[] {
  const { partition, account } = Stack.of(bus);
  const name = deployment.named(`${manifest.micrograph}-commands`);
  const others = deployment.regions.filter((it) => it !== region);
  return others.map((other) => `arn:${partition}:lambda:${other}:${account}:function:${name}`);
}

function connect(
  micrograph: Micrograph,
  fn: lambda.Function,
  declared: Fn,
  undelivered: ReadonlyMap<string, NamedQueue>,
): void {
  const { deployment, manifest } = micrograph;
  const { trigger } = declared;
  switch (trigger.type) {
    case 'queue':
      fn.addEventSource(
        new sources.SqsEventSource(micrograph.queue(trigger.queue), {
          batchSize: trigger.batchSize,
          reportBatchItemFailures: true,
          maxConcurrency: trigger.maximumConcurrency,
          ...(trigger.windowSeconds > 0 && { maxBatchingWindow: Duration.seconds(trigger.windowSeconds) }),
        }),
      );
      break;
    case 'queues': {
      const letters = trigger.queues.map((name) => micrograph.queue(name));
      // What EventBridge or SNS gave up on is drained as what a consumer gave up on.
      const { batchSize } = trigger;
      for (const queue of [...letters, ...undelivered.values()]) {
        fn.addEventSource(new sources.SqsEventSource(queue, { batchSize, reportBatchItemFailures: true }));
      }
      break;
    }
    case 'stream':
      fn.addEventSource(
        new sources.DynamoEventSource(micrograph.table(trigger.table), {
          startingPosition: lambda.StartingPosition.TRIM_HORIZON,
          batchSize: trigger.batchSize,
          bisectBatchOnError: true,
          reportBatchItemFailures: true,
          // Records of one item stay in order, and events are ordered by their versions anyway.
          parallelizationFactor: 4,
        }),
      );
      break;
    case 'schedule':
      new events.Rule(micrograph, `Schedule-${declared.name}`, {
        ruleName: deployment.named(declared.name),
        schedule: events.Schedule.rate(Duration.minutes(trigger.minutes)),
        targets: [new targets.LambdaFunction(fn)],
      });
      break;
    case 'http': {
      const url = fn.addFunctionUrl({ authType: lambda.FunctionUrlAuthType.AWS_IAM });
      deployment.publish(micrograph, `subgraphs/${manifest.micrograph}`, url.url);
      break;
    }
  }
}
