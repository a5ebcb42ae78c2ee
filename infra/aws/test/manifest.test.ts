import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checked, type Manifest, ManifestError, readManifest, withGeneration } from '../lib/manifest.ts';
import { archiveManifest, serviceManifests } from '../lib/suite.ts';

function pricing(): Manifest {
  const found = serviceManifests().find((it) => it.micrograph === 'pricing');
  assert.ok(found);
  return found;
}

test('what the binaries print can be deployed', () => {
  assert.ok(serviceManifests().length >= 6);
  assert.equal(archiveManifest().micrograph, 'archive');
});

test('a file that is no manifest is named with what to do', () => {
  assert.throws(() => readManifest('/nowhere.json'), /bootstrap manifest/);
  assert.throws(() => checked({} as Manifest), /no manifest/);
  const { projections: _, ...older } = pricing();
  assert.throws(() => checked(older as Manifest), /`projections` is missing/);
});

test('what AWS would not take, or what could not work, is refused when it is synthesized', () => {
  const broken = (change: (manifest: Manifest) => void): Manifest => {
    const manifest = structuredClone(pricing());
    change(manifest);
    return manifest;
  };
  const cases: [RegExp, (manifest: Manifest) => void][] = [
    [/hides messages for 30 s/, (it) => it.queues.forEach((queue) => { queue.visibilityTimeoutSeconds = 30; })],
    [/uses the table gone/, (it) => it.functions[0]!.reads.push('gone')],
    [/sends to the queue gone/, (it) => it.functions.forEach((fn) => { fn.sends = ['gone']; })],
    [/triggered by the queue/, (it) => { it.queues = []; }],
    [/reads the stream of/, (it) => it.tables.forEach((table) => { table.stream = false; })],
    [/has a target that isn't declared/, (it) => { it.rules[0]!.queue = 'gone'; }],
    [/two functions have one name/, (it) => it.functions.push(it.functions[0]!)],
  ];
  for (const [why, change] of cases) {
    assert.throws(() => checked(broken(change)), (error) => error instanceof ManifestError && why.test(error.message), String(why));
  }
});

test('another build of a projection has a table, a queue, a rule and a function of its own', () => {
  const before = pricing();
  const after = withGeneration(before, 'offers', '1-1');
  const name = 'pricing-offers-1-1';
  assert.ok(after.tables.some((it) => it.name === name));
  const queue = after.queues.find((it) => it.name === name);
  assert.equal(queue?.deadLetterQueue, `${name}-dead-letters`);
  assert.deepEqual(after.rules.find((it) => it.name === name)?.queue, name);
  const consumer = after.functions.find((it) => it.name === name);
  assert.equal(consumer?.handler, 'consumer.offers-1-1');
  assert.ok(consumer?.writes.includes(name) && !consumer.writes.includes('pricing-offers-1'));
  assert.deepEqual(consumer?.trigger.type === 'queue' && consumer.trigger.queue, name);
  const subgraph = after.functions.find((it) => it.handler === 'subgraph');
  assert.ok(subgraph?.reads.includes(name) && subgraph.reads.includes('pricing-offers-1'), 'it is read after the swap');
  const generations = after.functions.find((it) => it.handler === 'generations');
  assert.ok(generations?.scans?.includes(name) && generations.sends?.includes(name), 'it is filled and compared');
  const letters = after.functions.find((it) => it.handler === 'dead-letters');
  assert.ok(letters?.trigger.type === 'queues' && letters.trigger.queues.includes(`${name}-dead-letters`));
  assert.equal(after.alarms.filter((it) => it.name.startsWith(name)).length, 3);
  // What was there is as it was.
  for (const table of before.tables) assert.ok(after.tables.some((it) => it.name === table.name));
  assert.equal(after.functions.length, before.functions.length + 1);
  assert.deepEqual(withGeneration(after, 'offers', '1-1'), after, 'asked for twice it is there once');
  for (const wrong of ['1', '9-1', '1-0', 'x']) {
    assert.throws(() => withGeneration(before, 'offers', wrong), /is no build of a generation/, wrong);
  }
});
