import { expect, test } from 'vitest';
import type { Cut, Stock } from '../contract.ts';
import { CUT_END, END } from '../contract.ts';
import type { Head } from '../domain/segment.ts';
import { takeStock } from './stock.ts';

const head = (lineage: string, segment: number): Head => ({
  ...{ lineage, segment, start: '0', format: 1, rules: 1, arrival: 0, ended: false },
});
const cut = (segments: number, arrival: number): Cut => ({ segments, position: END, arrival, rules: 1 });

function stocked(heads: readonly Head[], cuts: ReadonlyMap<string, Cut>) {
  const told: Stock[] = [];
  const clock = { now: 0, outbox: [] as string[] };
  const ports = {
    catalog: {
      heads: () => Promise.resolve(heads),
      outbox: (limit: number) =>
        Promise.resolve(clock.outbox.slice(0, limit).map((id) => ({ id, routingKey: 'k', value: new Uint8Array() }))),
    },
    batch: { cuts: () => Promise.resolve(cuts) },
    clock: { now: () => clock.now, sleep: () => Promise.resolve() },
    facts: { stocked: (stock: Stock) => void told.push(stock) },
  };
  return { told, clock, take: (before?: Awaited<ReturnType<typeof takeStock>>) => takeStock(ports, before) };
}

test('a lineage is behind by what is sealed and not published; one without a cut by all, one that ended by nothing', async () => {
  const cuts = new Map([
    ['a', cut(3, 700)],
    ['c', cut(CUT_END, 900)],
    ['d', cut(6, 800)],
  ]);
  const { told, take } = stocked([head('a', 5), head('b', 2), head('c', 4), head('d', 5)], cuts);
  await take();
  expect(told).toEqual([
    {
      lineages: [
        { lineage: 'a', behind: 2, publishedArrival: 700 },
        { lineage: 'b', behind: 2, publishedArrival: 0 },
        { lineage: 'c', behind: 0, publishedArrival: 900 },
        { lineage: 'd', behind: 0, publishedArrival: 800 },
      ],
      outboxMs: 0,
    },
  ]);
});

test('the outbox waits for as long as the same record is its oldest', async () => {
  const { told, clock, take } = stocked([], new Map());
  clock.outbox = ['7', '8'];
  clock.now = 1000;
  let before = await take();
  clock.now = 4000;
  before = await take(before);
  // Relayed meanwhile: another one is the oldest.
  clock.outbox = ['8'];
  clock.now = 5000;
  before = await take(before);
  clock.now = 5500;
  before = await take(before);
  clock.outbox = [];
  clock.now = 9000;
  expect(await take(before)).toBeUndefined();
  expect(told.map(({ outboxMs }) => outboxMs)).toEqual([0, 3000, 0, 500, 0]);
});
