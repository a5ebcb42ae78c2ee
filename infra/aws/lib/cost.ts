// What a deployment costs, worked out from the manifests, from what the examples of events write, and from prices and
// assumptions that stand here. All of it is arithmetic that anyone can do again with figures of their own.

import { readFileSync } from 'node:fs';
import type { Fn, Manifest } from './manifest.ts';

/** US dollars, on demand, as AWS lists them for us-east-1, without free tiers. Other regions differ by up to a quarter. */
export const PRICES = {
  /** DynamoDB, a million write request units (an item of 1 KB). */
  writeUnits: 0.625,
  /** DynamoDB, a million read request units (4 KB read consistently, 8 KB eventually). */
  readUnits: 0.125,
  /** DynamoDB Streams' reads by Lambda are free. Lambda on arm64: a million requests, a GB-second. */
  invocations: 0.2,
  gbSeconds: 0.000_013_333_4,
  /** SQS, a million requests; one sends, receives or deletes up to 10 messages, 64 KB each. */
  sqs: 0.4,
  sqsFifo: 0.5,
  /** EventBridge, a million events put on a bus; rules and delivery to a queue of the account cost nothing. */
  events: 1,
  /** A million events from a bus to one of another region, which is a put there. */
  forwarded: 1,
  /** A GB between regions. */
  transfer: 0.02,
  /** S3, a million requests that put, that get. */
  s3Put: 5,
  s3Get: 0.4,
  /** API Gateway, HTTP API, a million requests. */
  api: 1,
  /** CloudFront: a million HTTPS requests, a million calls of a function, a GB out. */
  cdnRequests: 1,
  cdnFunction: 0.1,
  cdnGb: 0.085,
  /** WAF, a million requests. */
  waf: 0.6,
  /** CloudWatch, a GB of logs. */
  logs: 0.5,
  /** Aurora: an hour of a capacity unit, a million reads and writes of its storage, a GB-month. */
  acuHour: 0.12,
  auroraIo: 0.2,
  auroraGb: 0.1,
  /** An hour of an endpoint of AWS in one zone of a network. */
  endpoint: 0.01,
  /** A month of an alarm, of a metric, of a dashboard, of a key. */
  alarm: 0.1,
  metric: 0.3,
  dashboard: 3,
  key: 1,
};

/** What the manifests can't know. Change them, and print the table again. */
export const ASSUMED = {
  /** Messages in a batch of a consumer: 100 events a second with its window of a second. */
  batch: 100,
  /** Messages in a batch of commands, whose queue is FIFO. */
  commandBatch: 5,
  /** Records in a batch of an outbox. */
  streamBatch: 50,
  /** What an invocation takes, in milliseconds, by its trigger. */
  milliseconds: { queue: 60, commands: 40, stream: 40, http: 15, gateway: 25 },
  /** KB of an event in its envelope; and of an item, rounded up as DynamoDB does. */
  eventKb: 1,
  itemKb: 1,
  /** Of a hundred queries, those that the edge answers from its cache. */
  cached: 60,
  /** Subgraphs that a query asks; entities that each of them reads. */
  fetches: 2.5,
  reads: 10,
  /** Events that a function with a processor of its own reads and folds in a second. */
  comparedPerSecond: 20_000,
  /** Rows that a capacity unit of Aurora writes in a second, and pages that it writes to storage for each. */
  rowsPerSecond: 500,
  pagesPerRow: 3,
  /** Seconds of a capacity unit that a report takes. */
  reportSeconds: 0.2,
  /** GB that Aurora holds; minutes a day that it is awake though nobody asks and nothing happens: for the audit, and until it pauses. */
  relationalGb: 1,
  awakeMinutes: 10,
  /** KB of an answer to a client, of a line that is logged for an invocation. */
  answerKb: 4,
  logKb: 1,
  /** Processes of the gateway that are warm at any time; operations that clients send by different names. */
  gateways: 1,
  operations: 20,
};

export type Writes = Record<string, Record<string, { items: number; in_transactions: number }>>;

export function exampleWrites(): Writes {
  return JSON.parse(readFileSync(new URL('../cost/writes.json', import.meta.url), 'utf8')) as Writes;
}

/** A part of a price: how many millions of what, at which price. */
export interface Line {
  what: string;
  /** For each event, command or query. */
  each: number;
  price: number;
}

export function total(lines: Line[]): number {
  return lines.reduce((sum, { each, price }) => sum + each * price, 0);
}

function invoked(fn: Fn, milliseconds: number, batch: number): Line[] {
  const gb = fn.memoryMb / 1024;
  return [
    { what: 'Lambda invocations', each: 1 / batch, price: PRICES.invocations },
    // A million invocations of a millisecond are a thousand seconds.
    { what: 'Lambda GB-seconds (thousands)', each: (milliseconds * gb) / batch, price: PRICES.gbSeconds * 1_000 },
    { what: 'log, GB', each: ASSUMED.logKb / batch, price: PRICES.logs },
  ];
}

/** To hear and apply a million events of a type, in one projection of a region. */
export function applied(manifest: Manifest, deployed: string, event: string, writes: Writes): Line[] {
  const projection = manifest.projections.find((it) => it.deployed === deployed);
  const fn = manifest.functions.find((it) => it.name === deployed);
  const table = [...manifest.tables, ...(manifest.relational ?? [])].find((it) => it.name === deployed);
  if (!projection || !fn || !table) throw new Error(`${deployed} is no projection of ${manifest.micrograph}`);
  const written = writes[`${manifest.micrograph}.${projection.name}`]?.[event];
  if (!written) throw new Error(`cost/writes.json has nothing for ${event} in ${manifest.micrograph}.${projection.name}: run its test with UPDATE_GOLDEN=1`);
  if (fn.relational) {
    const rows = written.items + written.in_transactions;
    return [
      { what: 'SQS: sent, received and deleted by tens', each: 1 + 2 / 10, price: PRICES.sqs },
      ...invoked(fn, ASSUMED.milliseconds.queue, ASSUMED.batch),
      { what: 'Aurora, pages written', each: rows * ASSUMED.pagesPerRow, price: PRICES.auroraIo },
      { what: 'Aurora, hours of capacity units (millions)', each: rows / ASSUMED.rowsPerSecond / 3_600, price: PRICES.acuHour * 1e6 },
    ];
  }
  const copies = 1 + table.indexes.length;
  return [
    { what: 'SQS: sent, received and deleted by tens', each: 1 + 2 / 10, price: PRICES.sqs },
    ...invoked(fn, ASSUMED.milliseconds.queue, ASSUMED.batch),
    { what: `DynamoDB writes (${copies - 1} indexes)`, each: written.items * copies * ASSUMED.itemKb, price: PRICES.writeUnits },
    { what: 'DynamoDB writes in transactions, twice', each: written.in_transactions * 2 * copies * ASSUMED.itemKb, price: PRICES.writeUnits },
  ];
}

/**
 * To decide a million commands that each bring one event, and to publish it, in a region; to others it is forwarded, with
 * the image of the aggregate, of which they keep replicas.
 */
export function decided(manifest: Manifest, otherRegions: number): Line[] {
  const commands = manifest.functions.find((it) => it.handler === 'commands');
  const outbox = manifest.functions.find((it) => it.handler === 'outbox');
  if (!commands || !outbox) return [];
  return [
    { what: 'SQS FIFO: sent, received and deleted by tens', each: 1 + 2 / 10, price: PRICES.sqsFifo },
    ...invoked(commands, ASSUMED.milliseconds.commands, ASSUMED.commandBatch),
    { what: 'DynamoDB reads, consistent', each: 1, price: PRICES.readUnits },
    { what: 'DynamoDB write of state, outbox and ring', each: Math.ceil(ASSUMED.itemKb + ASSUMED.eventKb), price: PRICES.writeUnits },
    ...invoked(outbox, ASSUMED.milliseconds.stream, ASSUMED.streamBatch),
    { what: 'EventBridge, put', each: 1, price: PRICES.events },
    ...replicated(manifest, otherRegions),
  ];
}

function replicated({ replication }: Manifest, otherRegions: number): Line[] {
  if (!replication || otherRegions === 0) return [];
  const image = ASSUMED.itemKb + ASSUMED.eventKb;
  const there = invoked(replication.function, ASSUMED.milliseconds.queue, ASSUMED.batch);
  return [
    { what: 'EventBridge, put of the image', each: 1, price: PRICES.events },
    { what: 'EventBridge, event and image to other regions', each: 2 * otherRegions, price: PRICES.forwarded },
    { what: 'between regions, GB', each: otherRegions * (ASSUMED.eventKb + image), price: PRICES.transfer },
    { what: 'SQS there: sent, received and deleted by tens', each: otherRegions * (1 + 2 / 10), price: PRICES.sqs },
    ...there.map((line) => ({ ...line, what: `${line.what}, there`, each: otherRegions * line.each })),
    { what: 'DynamoDB writes of replicas there', each: otherRegions * Math.ceil(image), price: PRICES.writeUnits },
  ];
}

/** To archive a million events in a region. */
export function archived(archive: Manifest): Line[] {
  const fn = archive.functions.find((it) => it.handler === 'archivist');
  if (!fn) throw new Error('the archive has no archivist');
  const batch = ASSUMED.batch * (fn.trigger.type === 'queue' ? fn.trigger.windowSeconds : 1);
  return [
    { what: 'SQS: sent, received and deleted by tens', each: 1 + 2 / 10, price: PRICES.sqs },
    ...invoked(fn, ASSUMED.milliseconds.queue * 5, batch),
    { what: 'S3, an object for each domain of a batch', each: 5 / batch, price: PRICES.s3Put },
  ];
}

/** To compare a projection of a million items with a million events of the archive: what an audit and a rebuild take. */
export function compared(manifest: Manifest, archive: Manifest): Line[] {
  const fn = manifest.functions.find((it) => it.handler === 'generations');
  const archivist = archive.functions.find((it) => it.handler === 'archivist');
  if (!fn || !archivist) return [];
  // As many to an object as an archivist gathers; the daily compaction makes it more.
  const object = ASSUMED.batch * (archivist.trigger.type === 'queue' ? archivist.trigger.windowSeconds : 1);
  const gb = fn.memoryMb / 1024;
  return [
    { what: 'S3, an object for each batch', each: 1 / object, price: PRICES.s3Get },
    { what: 'DynamoDB reads, consistent, of a scan', each: ASSUMED.itemKb / 4, price: PRICES.readUnits },
    { what: 'Lambda GB-seconds (millions)', each: gb / ASSUMED.comparedPerSecond, price: PRICES.gbSeconds * 1_000_000 },
  ];
}

/** A million requests to a subgraph, each for some entities. */
export function served(manifest: Manifest): Line[] {
  const fn = manifest.functions.find((it) => it.trigger.type === 'http');
  if (!fn) return [];
  if (fn.relational) {
    const milliseconds = ASSUMED.milliseconds.http + 1_000 * ASSUMED.reportSeconds;
    return [
      ...invoked(fn, milliseconds, 1),
      { what: 'Aurora, hours of capacity units (millions)', each: ASSUMED.reportSeconds / 3_600, price: PRICES.acuHour * 1e6 },
    ];
  }
  return [
    ...invoked(fn, ASSUMED.milliseconds.http, 1),
    { what: 'DynamoDB reads, eventually consistent', each: ASSUMED.reads / 2, price: PRICES.readUnits },
  ];
}

/** A million queries of clients, without what the subgraphs cost. */
export function asked(): Line[] {
  const missed = 1 - ASSUMED.cached / 100;
  const gateway: Fn = { name: 'gateway', handler: 'gateway', trigger: { type: 'http' }, timeoutSeconds: 29, memoryMb: 1_024, reads: [], writes: [], putsEvents: false };
  return [
    { what: 'CloudFront requests', each: 1, price: PRICES.cdnRequests },
    { what: 'CloudFront function', each: 1, price: PRICES.cdnFunction },
    { what: 'CloudFront, GB out', each: ASSUMED.answerKb, price: PRICES.cdnGb },
    { what: 'WAF', each: 1, price: PRICES.waf },
    { what: 'API Gateway, where the cache has nothing', each: missed, price: PRICES.api },
    ...invoked(gateway, ASSUMED.milliseconds.gateway, 1).map((line) => ({ ...line, each: line.each * missed })),
  ];
}

/** What stands still costs, a month, in a region. */
export function standing(manifest: Manifest): Line[] {
  const { functions, alarms, rules, subscriptions, queues, tasks = [], relational = [] } = manifest;
  const outboxes = functions.filter((it) => it.trigger.type === 'stream').length;
  const all = functions.length + tasks.length;
  const undelivered = rules.length + new Set(subscriptions.map((it) => it.queue)).size;
  const mappings = functions.reduce((sum, { trigger }) => {
    if (trigger.type === 'queue') return sum + 1;
    return trigger.type === 'queues' ? sum + trigger.queues.length + undelivered : sum;
  }, 0);
  return [
    { what: 'alarms', each: alarms.length + undelivered + 2 * all + outboxes + (relational.length > 0 ? 2 : 0), price: PRICES.alarm },
    ...database(manifest),
    { what: 'dashboard', each: 1, price: PRICES.dashboard },
    { what: 'metrics of our own', each: 6 * (manifest.projections.length + 1), price: PRICES.metric },
    { what: 'metrics of audits', each: 2 * alarms.filter((it) => it.metric === 'partsDrifted').length, price: PRICES.metric },
    // Five pollers of Lambda's ask each queue every 20 seconds: 648,000 requests a month.
    { what: `SQS, ${mappings} queues asked while empty (millions)`, each: 0.648 * mappings, price: queues.some((it) => it.fifo) ? PRICES.sqsFifo : PRICES.sqs },
  ];
}

/** A database that is paused most of the day, and the endpoints of its network. */
function database({ functions, relational = [] }: Manifest): Line[] {
  if (relational.length === 0) return [];
  const inside = functions.filter((it) => it.relational !== undefined);
  const sends = inside.some((it) => (it.sends ?? []).length > 0);
  const endpoints = (inside.some((it) => it.putsEvents) ? 1 : 0) + (sends ? 2 : 0);
  return [
    { what: 'Aurora, GB stored', each: ASSUMED.relationalGb, price: PRICES.auroraGb },
    { what: 'Aurora, hours of half a capacity unit', each: (30 * ASSUMED.awakeMinutes) / 60, price: PRICES.acuHour / 2 },
    { what: `hours of ${endpoints} endpoints in two zones`, each: 30 * 24 * 2 * endpoints, price: PRICES.endpoint },
  ];
}

/** Errors, throttles and failures: of a function behind an API. */
const ALARMS_OF_API = 3;
const DASHBOARD: Line = { what: 'dashboard', each: 1, price: PRICES.dashboard };

/** What the registry costs where nobody publishes, a month, in a region. */
export function registryStanding(): Line[] {
  return [{ what: 'alarms', each: ALARMS_OF_API, price: PRICES.alarm }, DASHBOARD];
}

/** What the gateway costs besides its requests, a month, in a region: each minute a process looks for a newer graph, and says what was used. */
export function gatewayStanding(subgraphs: number): Line[] {
  const minutes = (30 * 24 * 60 * ASSUMED.gateways) / 1e6;
  return [
    // That of subgraphs is one for each.
    { what: 'alarms', each: ALARMS_OF_API + 1 + subgraphs, price: PRICES.alarm },
    DASHBOARD,
    { what: 'metrics of our own', each: 4 * ASSUMED.operations + 3 * subgraphs + 1, price: PRICES.metric },
    { what: 'S3, looks at the pointer (millions)', each: minutes, price: PRICES.s3Get },
    { what: 'S3, usage written (millions)', each: minutes, price: PRICES.s3Put },
  ];
}
