import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { END, type StoredObject, type Sweepable } from '../../contract.ts';
import type { SegmentRow } from '../../domain/segment.ts';
import { sweepOrphans } from './sweep.ts';

const at = (offset: number): string => String(offset).padStart(4, '0');
const keyOf = (lineage: string, start: string): string => `segments/${lineage}/${start}.avro`;

/** A sealed segment; `key` null where nothing counted in it. */
const row = (lineage: string, segment: number, start: string, end: string, key: string | null = null): SegmentRow => ({
  ...{ lineage, segment, start, end, format: 1, rules: 1, arrival: 0, endArrival: 0 },
  object: key === null ? null : { key, sha256: 'ab', bytes: 1 },
  ...{ records: 1, ok: 1, firstOk: 0, lastOk: 0, newest: 0 },
});

function catalogOf(rows: readonly SegmentRow[]) {
  const asked: string[] = [];
  const of = (lineage: string): SegmentRow[] => rows.filter((r) => r.lineage === lineage);
  return {
    asked,
    rowOf: async (lineage: string, position: string) => {
      asked.push(`rowOf ${lineage} ${position}`);
      return of(lineage).find(({ end }) => end > position);
    },
    manifest: async (lineage: string, from: number, limit: number) => {
      asked.push(`manifest ${lineage} ${from}`);
      return of(lineage)
        .filter(({ segment }) => segment >= from)
        .slice(0, limit);
    },
  };
}

function storeOf(keys: readonly string[], storedAt: (key: string) => number = () => 100) {
  const held = new Map([...keys].sort().map((key) => [key, { key, storedAt: storedAt(key), version: `v ${key}` }]));
  const store: Sweepable = {
    name: 'memory',
    objects: async function* (prefix) {
      for (const object of [...held.values()]) if (object.key.startsWith(prefix)) yield object;
    },
    remove: async ({ key }: StoredObject) => (held.delete(key) ? 'removed' : 'changed'),
  };
  return { store, keys: () => [...held.keys()] };
}

const REMOVE = { before: 1000, mode: 'remove' } as const;
const NONE = { claimed: 0, claimable: 0, young: 0, foreign: 0, orphans: [], removed: 0 };

describe('the sweep', () => {
  const K = (start: number): string => keyOf('l0', at(start));
  /** Sealed are [0, 10), [10, 20) with nothing in it, [20, 30); the head stands at 30. */
  const ROWS = [row('l0', 0, at(0), at(10), K(0)), row('l0', 1, at(10), at(20)), row('l0', 2, at(20), at(30), K(20))];

  test('leaves what starts in a segment that a gap cut short: it may be the only copy of what is lost', async () => {
    const gap = { from: at(14), places: 6, at: 0, number: 1 };
    const cut = { ...row('l0', 1, at(10), at(20), `segments/l0/${at(10)}..${at(14)}.avro`), gap };
    const named = `segments/l0/${at(10)}..${at(14)}.avro`;
    const { store } = storeOf([K(0), K(10), named, K(15), K(20), K(21)]);
    const swept = await sweepOrphans(store, catalogOf([ROWS[0]!, cut, ROWS[2]!]), REMOVE);
    expect(swept).toEqual({ ...NONE, claimed: 3, claimable: 2, orphans: [K(21)], removed: 1 });
  });

  test('removes what lies inside of a sealed segment that does not name it, and nothing else', async () => {
    const { store, keys } = storeOf([K(0), K(5), K(10), K(15), K(20), K(29), K(30), K(35)]);
    const swept = await sweepOrphans(store, catalogOf(ROWS), REMOVE);
    const orphans = [K(5), K(10), K(15), K(29)];
    expect(swept).toEqual({ ...NONE, claimed: 2, claimable: 2, orphans, removed: 4 });
    expect(keys()).toEqual([K(0), K(20), K(30), K(35)]);
    expect(await sweepOrphans(store, catalogOf(ROWS), REMOVE)).toEqual({ ...NONE, claimed: 2, claimable: 2 });
  });

  test('keeps the object at the head and what lies behind: a seal under way, or the only copy after a restore', async () => {
    const { store, keys } = storeOf([K(30), K(31), K(9999)]);
    expect(await sweepOrphans(store, catalogOf(ROWS), REMOVE)).toEqual({ ...NONE, claimable: 3 });
    expect(keys()).toHaveLength(3);
  });

  test('keeps everything of a lineage that the catalog does not know, and what lies before the first row', async () => {
    const { store } = storeOf([keyOf('l1', at(0)), keyOf('l1', at(7)), K(0)]);
    const late = [row('l0', 0, at(3), at(10), K(3))];
    expect(await sweepOrphans(store, catalogOf(late), REMOVE)).toEqual({ ...NONE, claimable: 3 });
  });

  test('an ended lineage is judged by its rows like any other', async () => {
    const rows = [row('l0', 0, at(0), END, K(0))];
    const { store } = storeOf([K(0), K(1)]);
    expect(await sweepOrphans(store, catalogOf(rows), REMOVE)).toMatchObject({ claimed: 1, orphans: [K(1)], removed: 1 });
  });

  test('removes nothing where it only reports', async () => {
    const { store, keys } = storeOf([K(5)]);
    const swept = await sweepOrphans(store, catalogOf(ROWS), { ...REMOVE, mode: 'report' });
    expect(swept).toEqual({ ...NONE, orphans: [K(5)] });
    expect(keys()).toEqual([K(5)]);
  });

  test('keeps what is not older than the time given, to the millisecond, and asks the catalog nothing about it', async () => {
    const { store } = storeOf([K(5), K(6), K(7)], (key) => (key === K(5) ? 999 : key === K(6) ? 1000 : 1001));
    const swept = await sweepOrphans(store, catalogOf(ROWS), REMOVE);
    expect(swept).toEqual({ ...NONE, young: 2, orphans: [K(5)], removed: 1 });
    const catalog = catalogOf(ROWS);
    await sweepOrphans(storeOf([K(5)]).store, catalog, { ...REMOVE, before: 100 });
    expect(catalog.asked).toEqual([]);
  });

  test('keeps what is no object of a segment, and looks at nothing outside of segments', async () => {
    const foreign = ['segments/l0/x/0005.avro', 'segments/l0/0005.txt', 'segments/0005.avro'];
    const { store, keys } = storeOf([...foreign, 'other/l0/0005.avro']);
    expect(await sweepOrphans(store, catalogOf(ROWS), REMOVE)).toEqual({ ...NONE, foreign: 3 });
    expect(keys()).toHaveLength(4);
  });

  test('an object that changed since it was listed is an orphan that was not removed', async () => {
    const { store } = storeOf([K(5)]);
    const moved: Sweepable = { ...store, remove: async () => 'changed' };
    expect(await sweepOrphans(moved, catalogOf(ROWS), REMOVE)).toEqual({ ...NONE, orphans: [K(5)] });
  });

  test('starts whose order is not that of their keys are each found their row', async () => {
    // '1.avro' sorts behind '1-1.avro', but the position 1 lies before 1-1.
    const rows = [row('l0', 0, '1', '1-1', keyOf('l0', '1')), row('l0', 1, '1-1', '2', keyOf('l0', '1-1'))];
    const { store } = storeOf(rows.map(({ object }) => object!.key));
    expect(await sweepOrphans(store, catalogOf(rows), REMOVE)).toEqual({ ...NONE, claimed: 2 });
  });

  test('asks for the rows of many objects at once', async () => {
    const rows = ['l0', 'l1'].flatMap((lineage) =>
      Array.from({ length: 1500 }, (_, n) => row(lineage, n, at(n), at(n + 1), keyOf(lineage, at(n)))),
    );
    const catalog = catalogOf(rows);
    const { store } = storeOf(rows.map(({ object }) => object!.key));
    expect(await sweepOrphans(store, catalog, REMOVE)).toEqual({ ...NONE, claimed: 3000 });
    const looked = catalog.asked.filter((what) => what.startsWith('rowOf'));
    expect(looked).toEqual(['rowOf l0 0000', 'rowOf l0 1000', 'rowOf l1 0000', 'rowOf l1 1000']);
  });

  test('of any archive removes exactly what a search of every row would', async () => {
    const lineages = ['a', 'a-b', 'b'];
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { maxLength: 8 });
    const any = fc.record({
      cuts: fc.tuple(cuts, cuts, cuts),
      starts: fc.uniqueArray(fc.tuple(fc.constantFrom(...lineages), fc.nat(50)), {
        maxLength: 40,
        selector: ([lineage, start]) => `${lineage} ${start}`,
      }),
      empty: fc.integer({ min: 2, max: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(any, async ({ cuts: ends, starts, empty }) => {
        const rows = lineages.flatMap((lineage, l) => {
          const bounds = [0, ...[...ends[l]!].sort((a, b) => a - b)];
          return bounds.slice(1).map((end, n) => {
            const start = at(bounds[n]!);
            return row(lineage, n, start, at(end), n % empty === 1 ? null : keyOf(lineage, start));
          });
        });
        const { store, keys } = storeOf(starts.map(([lineage, start]) => keyOf(lineage, at(start))));
        const before = keys();
        const expected = before.filter((key) => {
          const [, lineage, file] = key.split('/');
          const start = file!.slice(0, 4);
          const holder = rows.find((r) => r.lineage === lineage && r.start <= start && start < r.end);
          return holder !== undefined && holder.object?.key !== key;
        });
        const swept = await sweepOrphans(store, catalogOf(rows), REMOVE);
        expect([...swept.orphans].sort()).toEqual(expected);
        expect(keys()).toEqual(before.filter((key) => !expected.includes(key)));
        expect(swept.claimed + swept.claimable + swept.orphans.length).toBe(before.length);
      }),
    );
  });
});
