import { Duration, Stack, aws_events as events, aws_events_targets as targets, aws_iam as iam, aws_lambda as lambda, aws_lambda_event_sources as sources } from 'aws-cdk-lib';
import { except } from '../exceptions.ts';
import type { Fn } from '../manifest.ts';
import { makeFunction } from '../function.ts';
import type { Micrograph } from '../micrograph.ts';
import type { NamedQueue } from './queues.ts';

const READS = ['dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:Query'];
const LOOKS = ['sqs:GetQueueUrl', 'sqs:GetQueueAttributes'];
/** The archive's queue (shared/archive): what is on it isn't archived yet. */
const ARCHIVE_QUEUE = 'archive-archivist';
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
    const database = declared.relational && micrograph.database;
    const fn = makeFunction(micrograph, micrograph, code, declared, database?.within(declared));
    made.set(declared.name, fn);
    database?.letIn(fn, declared);
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
  // A table is described to see that it is there, and how much it holds.
  grant(['dynamodb:Scan', 'dynamodb:DescribeTable'], resources(declared.scans ?? [], false));
  const { sends = [], archives = [] } = declared;
  grant([...LOOKS, 'sqs:SendMessage'], sends.map((name) => micrograph.queue(name).queueArn));
  // Which functions take from a queue is told for all or none.
  if (sends.length > 0) grant(['lambda:ListEventSourceMappings'], ['*']);
  if (archives.length > 0) openArchive(micrograph, fn, archives);
}

/** Lets a function read what the archive has of some domains, and see what is on its way there. */
function openArchive(micrograph: Micrograph, fn: lambda.Function, domains: string[]): void {
  const { deployment, region, bus } = micrograph;
  const { partition, account } = Stack.of(bus);
  const bucket = deployment.find(micrograph, 'archive/bucket');
  fn.addEnvironment('ARCHIVE_BUCKET', bucket);
  const arn = `arn:${partition}:s3:::${bucket}`;
  const folders = domains.map((domain) => `events/${domain}/*`);
  const allow = (actions: string[], resources: string[], conditions?: Record<string, unknown>) =>
    fn.addToRolePolicy(new iam.PolicyStatement({ actions, resources, ...(conditions && { conditions }) }));
  allow(['s3:ListBucket'], [arn], { StringLike: { 's3:prefix': folders } });
  allow(['s3:GetObject'], folders.map((folder) => `${arn}/${folder}`));
  allow(['kms:Decrypt'], [deployment.find(micrograph, 'archive/key')]);
  allow(LOOKS, [`arn:${partition}:sqs:${region}:${account}:${deployment.named(ARCHIVE_QUEUE)}`]);
  const { Ref } = Stack.of(fn).resolve(bucket) as { Ref: string };
  for (const folder of folders) {
    except(fn.role ?? fn, `AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:s3:::<${Ref}>/${folder}]`, 'Objects are named by domain, hour and content: all of the domain is meant.');
  }
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
