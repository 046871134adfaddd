import { expect, test } from 'vitest';
import type { BucketState, Cut } from '../contract.ts';
import { incarnationBehind } from '../domain/incarnation.ts';
import { reachOf, readMerged } from './merged.ts';

const QUERY = { edges: [0, 60], fromMinute: 0, toMinute: 60 };
const cut = (gaps: number): Cut => ({ segments: 1, position: '5', arrival: 50, rules: 1, gaps });
const cell = (segment: number) => ({
  ...{ tenant: 'acme', meter: 'calls@1', minute: 7, group: '[]', lineage: 'l0', segment, count: 1, sum: 1n },
  ...{ min: undefined, max: undefined, latest: undefined },
});
const state = (bucket: number, gaps: number): BucketState => ({
  ...{ bucket, incarnation: incarnationBehind(gaps, 'unique'), floors: new Map([['l0', 1]]), cells: [cell(0), cell(1)] },
  fences: new Map([['l0', { position: '9', arrival: 90, rules: 1 }]]),
});

/** Snapshots in turn, the last one again and again. */
function portsOf(states: readonly BucketState[], ...snapshots: readonly number[]) {
  let taken = 0;
  const gapsNow = (): number => snapshots[taken++] ?? snapshots.at(-1) ?? 0;
  return {
    taken: () => taken,
    batch: { snapshot: () => Promise.resolve({ cuts: new Map([['l0', cut(gapsNow())]]), cells: [] }) },
    speed: { database: 'd1', read: () => Promise.resolve(states) },
  };
}

test('a bucket of before a gap that the snapshot has folded is as good as empty', async () => {
  const merged = await readMerged(portsOf([state(0, 2), state(1, 3)], 3), QUERY, [0, 1]);
  expect(merged.live).toEqual([cell(1)]);
  const reaches = reachOf(merged, [0, 1], ['l0']).map(({ position, fence }) => [position, fence]);
  expect(reaches).toEqual([
    ['5', undefined],
    ['9', '9'],
  ]);
});

test('a bucket of behind a gap that the snapshot has not folded wants another snapshot', async () => {
  const ports = portsOf([state(0, 3)], 2, 2, 3);
  expect((await readMerged(ports, QUERY, [0])).live).toEqual([cell(1)]);
  expect(ports.taken()).toBe(3);
  await expect(readMerged(portsOf([state(0, 3)], 2), QUERY, [0])).rejects.toMatchObject({ code: 'OVERLOADED' });
});

test('a floor that a later snapshot lacks, and a database of another incarnation, are a restore', async () => {
  const floors = new Map([['l0', 2]]);
  const ports = portsOf([{ ...state(0, 0), floors }], 0);
  const put = { code: 'DATABASE_RESTORED', kind: 'fatal' };
  await expect(readMerged(ports, QUERY, [0])).rejects.toMatchObject(put);
  expect(ports.taken()).toBe(2);
  const { speed, batch } = portsOf([state(0, 0)], 0);
  const of = (incarnation: string) => ({ snapshot: async () => ({ ...(await batch.snapshot()), incarnation }) });
  expect((await readMerged({ speed, batch: of('d1') }, QUERY, [0])).live).toEqual([cell(1)]);
  await expect(readMerged({ speed, batch: of('d2') }, QUERY, [0])).rejects.toMatchObject(put);
});
