// One bounded context on AWS, from the manifest that its binary prints.

import { type aws_dynamodb as dynamodb, type aws_events as events, type aws_kms as kms, type aws_lambda as lambda, aws_sns as sns } from 'aws-cdk-lib';
import { Construct } from 'constructs';
import type { Deployment } from './deployment.ts';
import type { Manifest } from './manifest.ts';
import { alarms } from './micrograph/alarms.ts';
import { buckets, type NamedBucket } from './micrograph/buckets.ts';
import { dashboard } from './micrograph/dashboard.ts';
import { Database } from './micrograph/database.ts';
import { functions } from './micrograph/functions.ts';
import { queues, type NamedQueue } from './micrograph/queues.ts';
import { rules } from './micrograph/rules.ts';
import { tables } from './micrograph/tables.ts';
import { openBuckets, tasks } from './micrograph/tasks.ts';

export interface MicrographProps {
  deployment: Deployment;
  region: string;
  manifest: Manifest;
  /** The bus that it hears and speaks on. */
  bus: events.IEventBus;
  /** Is told of every alarm. */
  alarmTopic: sns.ITopic;
  /** Its binary; by default the one of its name. */
  code?: lambda.Code;
  /** Encrypts its buckets, where it has any. */
  key?: kms.IKey;
}

/** Tables, queues, rules, functions, alarms and a dashboard. */
export class Micrograph extends Construct {
  readonly manifest: Manifest;
  readonly deployment: Deployment;
  readonly region: string;
  readonly bus: events.IEventBus;
  readonly tables: ReadonlyMap<string, dynamodb.Table>;
  readonly queues: ReadonlyMap<string, NamedQueue>;
  readonly topics: ReadonlyMap<string, sns.Topic>;
  /** Where its relational projections are kept, if it has any. */
  readonly database?: Database;
  readonly buckets: ReadonlyMap<string, NamedBucket>;
  readonly functions: ReadonlyMap<string, lambda.Function>;

  constructor(scope: Construct, id: string, props: MicrographProps) {
    super(scope, id);
    const { deployment, manifest } = props;
    this.deployment = deployment;
    this.manifest = manifest;
    this.region = props.region;
    this.bus = props.bus;
    this.tables = tables(this);
    this.queues = queues(this);
    this.topics = new Map(manifest.topics.map(({ name }) => [name, topic(this, name)]));
    this.buckets = buckets(this, props.key);
    if ((manifest.relational ?? []).length > 0) this.database = new Database(this);
    const undelivered = rules(this);
    const code = props.code ?? deployment.code(manifest.micrograph);
    const made = functions(this, code, undelivered);
    for (const [name, fn] of tasks(this, code)) made.set(name, fn);
    this.functions = made;
    openBuckets(this);
    alarms(this, props.alarmTopic, undelivered);
    dashboard(this);
    const commands = manifest.queues.find((it) => it.consumer === 'commands');
    if (commands) {
      deployment.publish(this, `commands/${manifest.micrograph}`, this.queue(commands.name).queueUrl);
    }
  }

  table(name: string): dynamodb.Table {
    return found(this.tables, name);
  }

  /** A queue, or the dead-letter queue of one. */
  queue(name: string): NamedQueue {
    return found(this.queues, name);
  }

  bucket(name: string): NamedBucket {
    return found(this.buckets, name);
  }

  fn(name: string): lambda.Function {
    return found(this.functions, name);
  }
}

function found<T>(all: ReadonlyMap<string, T>, name: string): T {
  const one = all.get(name);
  if (one === undefined) throw new Error(`nothing is named ${name}; there are ${[...all.keys()].join(', ')}`);
  return one;
}

function topic(micrograph: Micrograph, name: string): sns.Topic {
  const { deployment } = micrograph;
  const made = new sns.Topic(micrograph, `Topic-${name}`, { topicName: deployment.named(name), enforceSSL: true });
  deployment.publish(micrograph, `topics/${name}`, made.topicArn);
  return made;
}
