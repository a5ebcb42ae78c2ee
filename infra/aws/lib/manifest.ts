// What a micrograph needs of its surroundings, as its binary prints it (`bootstrap manifest`; shared/micrograph has the
// types). It is declared once in Rust: nothing here repeats it.

import { readFileSync } from 'node:fs';

export interface Manifest {
  /** The micrograph's name. */
  micrograph: string;
  tables: Table[];
  /** The tables of its projections that are kept in PostgreSQL: its functions make them, not the stack. */
  relational?: Table[];
  queues: Queue[];
  topics: Topic[];
  rules: Rule[];
  subscriptions: Subscription[];
  functions: Fn[];
  alarms: Alarm[];
  /** What it needs besides where there are several regions. */
  replication?: { table: Table; queue: Queue; rule: Rule; function: Fn };
  /** The generations of its projections, each a table, a queue and a function of one name. */
  projections: Projection[];
  /** Events, as `<domain>.<Name>.v<major>`. */
  publishes: string[];
  /** Events, as `<domain>.<Name>`. */
  consumes: string[];
  decides: string[];
  /** Buckets of its own: the archive's. */
  buckets?: Bucket[];
  /** Functions that neither a queue, a stream, HTTP nor a schedule in minutes invokes. */
  tasks?: Task[];
}

/** A table with the string keys `pk` and `sk`, on demand. */
export interface Table {
  name: string;
  indexes: Index[];
  /** The attribute with the time in epoch seconds after which an item may go. */
  ttl?: string;
  /** Whether its changes are streamed, as new images: it holds what the micrograph owns. */
  stream: boolean;
}

export interface Index {
  name: string;
  partition: string;
  sort: string;
  sort_type: 'S' | 'N';
  /** The attributes besides the keys that it holds; all where there is no list. */
  include?: string[];
}

export interface Queue {
  name: string;
  fifo: boolean;
  visibilityTimeoutSeconds: number;
  retentionSeconds: number;
  maxReceiveCount: number;
  deadLetterQueue: string;
  consumer: string;
}

export interface Topic {
  name: string;
}

export interface Rule {
  name: string;
  pattern: Record<string, unknown>;
  /** One of `queue` and `topic` is there: the target. */
  queue?: string;
  topic?: string;
}

export interface Subscription {
  topic: string;
  queue: string;
  rawDelivery: boolean;
  filterPolicy: Record<string, unknown>;
}

export interface Fn {
  name: string;
  handler: string;
  trigger: Trigger;
  timeoutSeconds: number;
  memoryMb: number;
  reads: string[];
  writes: string[];
  putsEvents: boolean;
  /** The tables that it reads as a whole. */
  scans?: string[];
  /** The queues that it sends to, and looks at. */
  sends?: string[];
  /** The domains whose events it reads in the archive. */
  archives?: string[];
  /** What it does in PostgreSQL: makes tables, writes and removes them; or reads them. */
  relational?: 'owns' | 'asks';
}

export type Trigger =
  | { type: 'queue'; queue: string; batchSize: number; windowSeconds: number; maximumConcurrency: number }
  | { type: 'queues'; queues: string[]; batchSize: number }
  | { type: 'stream'; table: string; batchSize: number }
  | { type: 'schedule'; minutes: number }
  | { type: 'http' };

export type Alarm = { name: string; above: number } & (
  | { metric: 'queueAge'; queue: string }
  | { metric: 'queueDepth'; queue: string }
  | { metric: 'quarantineEntries' }
  | { metric: 'partsDrifted'; projection: string }
);

export interface Projection {
  name: string;
  generation: string;
  /** The name of its table, its queue and its function. */
  deployed: string;
  /** The events that it folds, as `<domain>.<Name>`, each with its joins. */
  folds: { event: string; joins: Join[] }[];
}

export type Join = 'put' | 'tombstone' | 'dot' | 'contribution' | 'step';

export interface Bucket {
  name: string;
  /** The variable of the functions' environment that holds its name. */
  variable: string;
  versioned: boolean;
  /** The functions that read its objects and make new ones. */
  writers: string[];
  /** Those among them that remove objects too. */
  removers: string[];
}

export interface Task {
  name: string;
  handler: string;
  everyHours?: number;
  timeoutSeconds: number;
  memoryMb: number;
  concurrency: number;
}

/** A manifest that can't be deployed, and why. */
export class ManifestError extends Error {}

/** Reads and checks a manifest. */
export function readManifest(path: string): Manifest {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new ManifestError(`${path} can't be read: print it with \`bootstrap manifest\``, { cause });
  }
  try {
    return checked(JSON.parse(text) as Manifest);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ManifestError(`${path}: ${why}`, { cause: error });
  }
}

const LISTS = [
  'tables', 'queues', 'topics', 'rules', 'subscriptions', 'functions', 'alarms', 'projections',
] as const;

/** The manifest, if AWS would take what it asks for. */
export function checked(manifest: Manifest): Manifest {
  if (typeof manifest.micrograph !== 'string') throw new ManifestError('it is no manifest: `micrograph` is missing');
  for (const list of LISTS) {
    if (!Array.isArray(manifest[list])) {
      throw new ManifestError(`\`${list}\` is missing: it was printed by another version of shared/micrograph`);
    }
  }
  const tables = new Set(manifest.tables.map((it) => it.name));
  const queues = new Map(manifest.queues.map((it) => [it.name, it]));
  const letters = new Set(manifest.queues.map((it) => it.deadLetterQueue));
  const topics = new Set(manifest.topics.map((it) => it.name));
  const must = (holds: boolean, why: string) => {
    if (!holds) throw new ManifestError(why);
  };
  for (const fn of manifest.functions) {
    for (const table of [...fn.reads, ...fn.writes, ...(fn.scans ?? [])]) must(tables.has(table), `${fn.name} uses the table ${table}, which isn't declared`);
    for (const queue of fn.sends ?? []) must(queues.has(queue), `${fn.name} sends to the queue ${queue}, which isn't declared`);
    const { trigger } = fn;
    if (trigger.type === 'queue') {
      const queue = queues.get(trigger.queue);
      must(queue !== undefined, `${fn.name} is triggered by the queue ${trigger.queue}, which isn't declared`);
      const least = 6 * fn.timeoutSeconds + trigger.windowSeconds;
      const given = queue?.visibilityTimeoutSeconds ?? 0;
      must(given >= least, `${trigger.queue} hides messages for ${given} s: 6 timeouts of ${fn.name} and its window are ${least} s`);
    }
    if (trigger.type === 'queues') {
      for (const queue of trigger.queues) must(letters.has(queue) || queues.has(queue), `${fn.name} is triggered by ${queue}, which isn't declared`);
    }
    if (trigger.type === 'stream') {
      const table = manifest.tables.find((it) => it.name === trigger.table);
      must(table?.stream === true, `${fn.name} reads the stream of ${trigger.table}, which has none`);
    }
  }
  for (const rule of manifest.rules) {
    const known = rule.queue !== undefined ? queues.has(rule.queue) : topics.has(rule.topic ?? '');
    must(known, `the rule ${rule.name} has a target that isn't declared`);
  }
  for (const { queue } of manifest.subscriptions) must(queues.has(queue), `the queue ${queue} is subscribed to a topic, but isn't declared`);
  const names = manifest.functions.map((it) => it.name);
  must(new Set(names).size === names.length, `two functions have one name: ${names.join(', ')}`);
  return manifest;
}

/**
 * The manifest with another build of a projection beside those that it has, for a rebuild: its table, its queue, its
 * rule or subscription and its function are those of the same version, under the build's name.
 */
export function withGeneration(manifest: Manifest, projection: string, generation: string): Manifest {
  const version = generation.split('-')[0];
  const like = manifest.projections.find((it) => it.name === projection && it.generation === version);
  if (!like || !/^[1-9]\d*-[1-9]\d*$/.test(generation)) {
    const known = manifest.projections.map((it) => `${it.name} ${it.generation}`).join(', ');
    throw new ManifestError(`${projection} ${generation} is no build of a generation: those are written \`2-1\`, of ${known}`);
  }
  const from = like.deployed;
  const to = `${manifest.micrograph}-${projection}-${generation}`;
  if (manifest.projections.some((it) => it.deployed === to)) return manifest;
  // Names are replaced where they are whole, or the stem of a dead-letter queue's or an alarm's.
  const renamed = <T>(value: T): T => JSON.parse(
    JSON.stringify(value, (_, it: unknown) =>
      typeof it === 'string' && (it === from || it.startsWith(`${from}-dead-letters`) || it === `${from}-age`)
        ? to + it.slice(from.length)
        : it),
  ) as T;
  const also = <T>(all: T[], is: (it: T) => boolean): T[] => [...all, ...all.filter(is).map(renamed)];
  const functions = also(manifest.functions, (it) => it.name === from).map((fn): Fn => {
    if (fn.name === to) return { ...fn, handler: `consumer.${projection}-${generation}` };
    if (fn.trigger.type === 'queues') {
      return { ...fn, trigger: { ...fn.trigger, queues: [...fn.trigger.queues, `${to}-dead-letters`] } };
    }
    // Who reads what is deployed reads the build once it is swapped in; who fills and compares does so with the build.
    const withBuild = (names: string[]) => (names.includes(from) ? [...names, to] : names);
    if (fn.name === from) return fn;
    return {
      ...fn,
      reads: withBuild(fn.reads),
      ...(fn.scans && { scans: withBuild(fn.scans) }),
      ...(fn.sends && { sends: withBuild(fn.sends) }),
    };
  });
  return checked({
    ...manifest,
    functions,
    tables: also(manifest.tables, (it) => it.name === from),
    ...(manifest.relational && { relational: also(manifest.relational, (it) => it.name === from) }),
    queues: also(manifest.queues, (it) => it.name === from),
    rules: also(manifest.rules, (it) => it.queue === from),
    subscriptions: also(manifest.subscriptions, (it) => it.queue === from),
    alarms: also(manifest.alarms, (it) => 'queue' in it && (it.queue === from || it.queue === `${from}-dead-letters`)),
    projections: [...manifest.projections, { ...like, generation, deployed: to }],
  });
}

/** The region in a manifest, which can't know it. */
const OWN_REGION = '${AWS::Region}';

/**
 * The manifest as one region of several needs it: with the replicas of what is at home elsewhere, and with the table of
 * homes for whoever decides, publishes or measures.
 */
export function inRegion(manifest: Manifest, region: string): Manifest {
  const { replication } = manifest;
  if (!replication) return manifest;
  const { table, queue, function: replicas } = replication;
  const rule = JSON.parse(JSON.stringify(replication.rule).replaceAll(OWN_REGION, region)) as Rule;
  const functions = manifest.functions.map((fn): Fn => {
    if (fn.trigger.type === 'queues') {
      return { ...fn, trigger: { ...fn.trigger, queues: [...fn.trigger.queues, queue.deadLetterQueue] } };
    }
    if (!['commands', 'outbox', 'subgraph', 'watch'].includes(fn.handler)) return fn;
    const knowing = { ...fn, reads: [...fn.reads, table.name] };
    // It tells the other regions what they may have missed, and takes over from one when somebody says so.
    return fn.handler === 'watch' ? { ...knowing, writes: [...fn.writes, table.name], putsEvents: true } : knowing;
  });
  return checked({
    ...manifest,
    tables: [...manifest.tables, table],
    queues: [...manifest.queues, queue],
    rules: [...manifest.rules, rule],
    functions: [...functions, replicas],
    alarms: [
      ...manifest.alarms,
      { name: `${queue.name}-age`, metric: 'queueAge', queue: queue.name, above: queue.retentionSeconds / 2 },
      { name: `${queue.deadLetterQueue}-age`, metric: 'queueAge', queue: queue.deadLetterQueue, above: queue.retentionSeconds / 2 },
      { name: `${queue.deadLetterQueue}-depth`, metric: 'queueDepth', queue: queue.deadLetterQueue, above: 0 },
    ],
  });
}
