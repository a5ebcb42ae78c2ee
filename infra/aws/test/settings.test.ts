import assert from 'node:assert/strict';
import { test } from 'node:test';
import { App } from 'aws-cdk-lib';
import { DeploymentError } from '../lib/deployment.ts';
import { settings } from '../lib/settings.ts';
import { AWAY, DOMAIN, HOME } from './support.ts';

const set = (tributary?: Record<string, unknown>) => settings(new App({ context: tributary === undefined ? {} : { tributary } }));

test('regions are all that has to be said', () => {
  const { deployment, domain, distribution, registry, apps } = set({ regions: [HOME, AWAY] });
  assert.deepEqual(deployment.firstHomes, [HOME, AWAY]);
  assert.equal(deployment.name, 'tributary');
  assert.deepEqual([domain, distribution, registry, apps], [undefined, undefined, {}, []]);
  assert.equal(deployment.environment.CACHE_TAGS, undefined);
});

test('how much a database may take is said, as far as it is not as usual', () => {
  assert.deepEqual(set({ regions: [HOME] }).deployment.database, { least: 0, most: 4 });
  assert.deepEqual(set({ regions: [HOME], database: { most: 16 } }).deployment.database, { least: 0, most: 16 });
});

test('once the edge is known, what changes is announced', () => {
  const { zoneId, zoneName, name } = DOMAIN;
  const given = set({ regions: [HOME], domain: { name, zoneId, zoneName }, distribution: 'E1A2B3C4D5E6F7' });
  assert.equal(given.distribution, 'E1A2B3C4D5E6F7');
  assert.equal(given.deployment.environment.CACHE_TAGS, 'on');
});

test('a deployment has a registry, to which IAM or tokens let in; or none, and no gateway', () => {
  const tokens = [{ name: 'ci', sha256: '0'.repeat(64), may: 'publish' }];
  assert.deepEqual(set({ regions: [HOME], registry: true }).registry, {});
  assert.deepEqual(set({ regions: [HOME], registry: { tokens } }).registry, { tokens });
  assert.equal(set({ regions: [HOME], registry: false }).registry, undefined);
});

test('what is set up wrong is refused with what would be right', () => {
  const domain = { name: DOMAIN.name, zoneId: DOMAIN.zoneId, zoneName: DOMAIN.zoneName };
  const cases: [RegExp, Record<string, unknown> | undefined][] = [
    [/no context `tributary`/, undefined],
    [/lists the regions/, {}],
    [/it takes name, regions/, { regions: [HOME], region: HOME }],
    [/arm64 or x86_64/, { regions: [HOME], architecture: 'mips' }],
    [/needs a `tributary.registry`/, { regions: [HOME], domain, registry: false }],
    [/true .*, false, or has `tokens`/, { regions: [HOME], registry: { tokens: [] } }],
    [/SHA-256 in hexadecimal/, { regions: [HOME], registry: { tokens: [{ name: 'ci', sha256: 'secret', may: 'publish' }] } }],
    [/read, publish or admin/, { regions: [HOME], registry: { tokens: [{ name: 'ci', sha256: '0'.repeat(64), may: 'all' }] } }],
    [/has a name, a zoneId and a zoneName/, { regions: [HOME], domain: { name: DOMAIN.name } }],
    [/need a `tributary.domain`/, { regions: [HOME], apps: [{ path: '/admin', origin: 'admin.example.com' }] }],
    [/id of a distribution/, { regions: [HOME], distribution: 'shop.example.com' }],
    [/capacity units/, { regions: [HOME], database: { most: 0.3 } }],
    [/at home in some of the regions/, { regions: [HOME], firstHomes: [AWAY] }],
  ];
  for (const [why, given] of cases) {
    assert.throws(() => set(given), (error) => error instanceof DeploymentError && why.test(error.message), String(why));
  }
});
