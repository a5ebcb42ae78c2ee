// The tables of what a deployment costs, in Markdown.

import {
  applied, archived, asked, ASSUMED, compared, decided, exampleWrites, gatewayStanding, type Line, registryStanding, served,
  standing, total,
} from './cost.ts';
import { inRegion } from './manifest.ts';
import { archiveManifest, serviceManifests } from './suite.ts';

const OTHER_REGIONS = 1;

export function costTables(arithmetic: boolean): string {
  const manifests = serviceManifests();
  const archive = archiveManifest();
  const writes = exampleWrites();
  const parts: string[] = [];
  const table = (title: string, head: string[], rows: string[][]) => {
    const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
    parts.push(`**${title}**`, '', line(head), line(head.map((_, at) => (Number.isNaN(Number(rows[0]?.[at])) ? '---' : '---:'))), ...rows.map(line), '');
  };
  const explained = (of: string, lines: Line[]) => {
    if (!arithmetic || lines.length === 0) return;
    parts.push(`${of}:`, '');
    for (const { what, each, price } of lines) parts.push(`- ${what}: ${number(each)} × ${price} = ${dollars(each * price)}`);
    parts.push('');
  };

  const heard = manifests.flatMap((manifest) =>
    manifest.projections.flatMap(({ name, deployed, folds }) =>
      folds.map(({ event }) => ({ of: `${manifest.micrograph}.${name}`, event, lines: applied(manifest, deployed, event, writes) })),
    ),
  );
  table(
    'A million events applied, in each region',
    ['projection', 'event (its example)', 'items written', 'US$'],
    heard.map(({ of, event, lines }) => {
      const written = writes[of]?.[event];
      const items = written ? written.items + written.in_transactions : 0;
      return [of, event, String(items), dollars(total(lines))];
    }),
  );
  for (const { of, event, lines } of heard) explained(`${of}, ${event}`, lines);

  const deciding = manifests.map((it) => ({ name: it.micrograph, lines: decided(it, OTHER_REGIONS) })).filter(({ lines }) => lines.length > 0);
  table(
    `A million commands decided and their events published, to ${OTHER_REGIONS} other region too`,
    ['service', 'US$'],
    [...deciding.map(({ name, lines }) => [name, dollars(total(lines))]), ['archive (of a million events, in each region)', dollars(total(archived(archive)))]],
  );
  for (const { name, lines } of deciding) explained(name, lines);
  explained('archive', archived(archive));

  const first = manifests[0];
  if (first) {
    const lines = compared(first, archive);
    table('A projection compared with a million events of the archive', ['by', 'US$'], [
      ['the function `generations`, for an audit or a rebuild; filling costs what applying does', dollars(total(lines))],
    ]);
    explained('A comparison', lines);
  }

  const serving = manifests.map((it) => ({ name: it.micrograph, lines: served(it) })).filter(({ lines }) => lines.length > 0);
  // Reports are asked for by few, and are no part of a shop's usual queries.
  const usual = serving.filter(({ name }) => !manifests.some((it) => it.micrograph === name && it.relational));
  const mean = usual.reduce((sum, { lines }) => sum + total(lines), 0) / usual.length;
  const fetched = (1 - ASSUMED.cached / 100) * ASSUMED.fetches;
  table('A million requests', ['to', 'US$'], [
    ...serving.map(({ name, lines }) => [`the subgraph ${name}`, dollars(total(lines))]),
    ['the edge and the gateway, without subgraphs', dollars(total(asked()))],
    [`all of it: ${number(fetched)} subgraph requests for each of a client's`, dollars(total(asked()) + fetched * mean)],
  ]);
  for (const { name, lines } of serving) explained(`the subgraph ${name}`, lines);
  explained('the edge and the gateway', asked());

  const standingThere = [...manifests.map((it) => (OTHER_REGIONS > 0 ? inRegion(it, 'here') : it)), archive]
    .map((it) => ({ name: it.micrograph, lines: standing(it) }))
    .concat({ name: 'registry', lines: registryStanding() }, { name: 'gateway', lines: gatewayStanding(serving.length) });
  table('A month of standing still, in each region', ['service', 'US$'], standingThere.map(({ name, lines }) => [name, dollars(total(lines))]));
  for (const { name, lines } of standingThere) explained(name, lines);
  return `${parts.join('\n')}`;
}

function dollars(amount: number): string {
  return amount.toFixed(2);
}

function number(amount: number): string {
  return String(Number(amount.toPrecision(4)));
}
