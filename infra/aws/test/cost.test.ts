import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { applied, ASSUMED, decided, exampleWrites, PRICES, total } from '../lib/cost.ts';
import { costTables } from '../lib/cost-tables.ts';
import { serviceManifests } from '../lib/suite.ts';

const manifest = (name: string) => serviceManifests().find((it) => it.micrograph === name)!;

test('the tables of the README are what the manifests cost', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  assert.ok(readme.includes(costTables(false)), 'put what `npm run cost` prints into the README');
});

test('what one event costs is the sum of its parts', () => {
  const lines = applied(manifest('pricing'), 'pricing-offers-1', 'pricing.ProductPriced', exampleWrites());
  const written = exampleWrites()['pricing.offers']!['pricing.ProductPriced']!;
  const table = manifest('pricing').tables.find((it) => it.name === 'pricing-offers-1')!;
  const fn = manifest('pricing').functions.find((it) => it.name === 'pricing-offers-1')!;
  const byHand =
    1.2 * PRICES.sqs +
    PRICES.invocations / ASSUMED.batch +
    // A million events make 10,000 batches of 60 ms.
    ((1e6 / ASSUMED.batch) * (ASSUMED.milliseconds.queue / 1000) * (fn.memoryMb / 1024)) * PRICES.gbSeconds +
    (ASSUMED.logKb / ASSUMED.batch) * PRICES.logs +
    (written.items + 2 * written.in_transactions) * (1 + table.indexes.length) * PRICES.writeUnits;
  assert.ok(Math.abs(total(lines) - byHand) < 1e-9, `${total(lines)}, by hand ${byHand}`);
});

test('a second region costs what is forwarded; who decides nothing costs nothing', () => {
  const one = total(decided(manifest('orders'), 0));
  const two = total(decided(manifest('orders'), 1));
  // The image is put, both are forwarded, and the replica is heard of and written there.
  const put = PRICES.events + 2 * PRICES.forwarded + (2 * ASSUMED.eventKb + ASSUMED.itemKb) * PRICES.transfer;
  const { memoryMb } = manifest('orders').replication!.function;
  const seconds = (1e6 / ASSUMED.batch) * (ASSUMED.milliseconds.queue / 1000) * (memoryMb / 1024);
  const run = PRICES.invocations / ASSUMED.batch + seconds * PRICES.gbSeconds + (ASSUMED.logKb / ASSUMED.batch) * PRICES.logs;
  const there = 1.2 * PRICES.sqs + run + 2 * PRICES.writeUnits;
  assert.ok(Math.abs(two - one - put - there) < 1e-9, `${two - one}, by hand ${put + there}`);
  assert.deepEqual(decided(manifest('popularity'), 1), []);
});

test('an event without figures is named with what to do', () => {
  assert.throws(() => applied(manifest('pricing'), 'pricing-offers-1', 'pricing.Nothing', exampleWrites()), /UPDATE_GOLDEN=1/);
});
