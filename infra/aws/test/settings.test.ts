import assert from 'node:assert/strict';
import { test } from 'node:test';
import { App } from 'aws-cdk-lib';
import { DeploymentError } from '../lib/deployment.ts';
import { settings } from '../lib/settings.ts';
import { AWAY, DOMAIN, HOME } from './support.ts';

const set = (tributary?: Record<string, unknown>) => settings(new App({ context: tributary === undefined ? {} : { tributary } }));

test('regions are all that has to be said', () => {
  const { deployment, domain, distribution, gateway, apps } = set({ regions: [HOME, AWAY] });
  assert.deepEqual(deployment.firstHomes, [HOME, AWAY]);
  assert.equal(deployment.name, 'tributary');
  assert.deepEqual([domain, distribution, gateway, apps], [undefined, undefined, false, []]);
  assert.equal(deployment.environment.CACHE_TAGS, undefined);
});

test('once the edge is known, what changes is announced', () => {
  const { zoneId, zoneName, name } = DOMAIN;
  const given = set({ regions: [HOME], gateway: true, domain: { name, zoneId, zoneName }, distribution: 'E1A2B3C4D5E6F7' });
  assert.equal(given.distribution, 'E1A2B3C4D5E6F7');
  assert.equal(given.deployment.environment.CACHE_TAGS, 'on');
});

test('what is set up wrong is refused with what would be right', () => {
  const domain = { name: DOMAIN.name, zoneId: DOMAIN.zoneId, zoneName: DOMAIN.zoneName };
  const cases: [RegExp, Record<string, unknown> | undefined][] = [
    [/no context `tributary`/, undefined],
    [/lists the regions/, {}],
    [/it takes name, regions/, { regions: [HOME], region: HOME }],
    [/arm64 or x86_64/, { regions: [HOME], architecture: 'mips' }],
    [/set `tributary.gateway`/, { regions: [HOME], domain }],
    [/has a name, a zoneId and a zoneName/, { regions: [HOME], gateway: true, domain: { name: DOMAIN.name } }],
    [/need a `tributary.domain`/, { regions: [HOME], apps: [{ path: '/admin', origin: 'admin.example.com' }] }],
    [/id of a distribution/, { regions: [HOME], distribution: 'shop.example.com' }],
    [/at home in some of the regions/, { regions: [HOME], firstHomes: [AWAY] }],
  ];
  for (const [why, given] of cases) {
    assert.throws(() => set(given), (error) => error instanceof DeploymentError && why.test(error.message), String(why));
  }
});
