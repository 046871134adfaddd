/** The promises of a BatchView (docs/component-spec.md, BV-*), over any implementation. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ArchivedEvent, BatchView, HourUsage, PublishTransaction } from '../contract.ts';
import { CUT_END, END } from '../contract.ts';
import { type Cell, EMPTY } from '../domain/cell.ts';
import { countDistinct, distinctOf, memberOf } from '../domain/distinct.ts';
import { readingsOf } from '../domain/gauge.ts';
import { at } from './places.ts';

export interface BatchFixture {
  readonly batch: BatchView;
  /** Daily usage as it is stored, in key order. */
  days(): Promise<
    readonly { readonly tenant: string; readonly day: string; readonly total: bigint; readonly count: number }[]
  >;
  close(): Promise<void>;
}

const SCALE = 10n ** 12n;
const HOUR = 472_000;

export const archived = (n: number, over: Partial<ArchivedEvent['event']> = {}): ArchivedEvent => ({
  position: at(n),
  arrival: 1000 + n,
  rules: 1,
  content: 'aa'.repeat(16),
  event: {
    tenant: 'acme',
    type: 'calls',
    quantity: SCALE,
    key: `k${String(n)}`,
    timestamp: HOUR * 3_600_000_000 + n,
    subject: null,
    properties: '{"b":[1,"x"],"a":null}',
    ...over,
  },
});
export const cell = (sum: bigint, over: Partial<Cell> = {}): Cell => ({
  tenant: 'acme',
  meter: 'calls@1',
  minute: HOUR * 60,
  group: '[]',
  ...EMPTY,
  count: 1,
  sum,
  ...over,
});
export const hour = (total: bigint, count = 1, over: Partial<HourUsage> = {}): HourUsage => ({
  tenant: 'acme',
  eventType: 'calls',
  hour: HOUR,
  total,
  count,
  ...over,
});

/** What a publish does with cells that are already folded. */
export async function publishCells(
  tx: PublishTransaction,
  segment: number,
  cells: readonly Cell[],
  hours: readonly HourUsage[] = [],
  lineage = 'l0',
): Promise<void> {
  await tx.writePartials(lineage, segment, cells, hours);
  await tx.lockRollups(cells, hours);
  await tx.recomputeRollups(cells, hours);
  await tx.raiseCut(lineage, { segments: segment + 1, position: at(segment + 1), arrival: segment, rules: 1 });
}

export function batchViewConformance(name: string, make: () => Promise<BatchFixture>): void {
  describe(`batch view: ${name}`, () => {
    let fixture: BatchFixture;
    let batch: BatchView;
    beforeEach(async () => {
      fixture = await make();
      ({ batch } = fixture);
      await batch.prepare([hour(0n)]);
    });
    afterEach(() => fixture.close());

    const all = { edges: [0, 2 ** 31 - 1] };
    const cells = async () => (await batch.snapshot(all)).cells;

    test('BV-1: a key is held by its first copy, and inserting it again inserts nothing', async () => {
      await batch.transaction(async (tx) => {
        expect([...(await tx.insertEvents('l0', [archived(1), archived(2)]))].sort()).toEqual([at(1), at(2)]);
      });
      await batch.transaction(async (tx) => {
        expect(await tx.insertEvents('l0', [archived(3, { key: 'k1' }), archived(4)])).toEqual(new Set([at(4)]));
        const rows = await tx.holders([{ tenant: 'acme', key: 'k1' }]);
        expect(rows).toEqual([{ tenant: 'acme', key: 'k1', lineage: 'l0', position: at(1), content: 'aa'.repeat(16) }]);
      });
      expect(await batch.holders([{ tenant: 'other', key: 'k1' }])).toEqual([]);
    });

    test('BV-2: what throws inside a transaction leaves nothing behind', async () => {
      const work = batch.transaction(async (tx) => {
        await tx.insertEvents('l0', [archived(1)]);
        await publishCells(tx, 0, [cell(5n)], [hour(5n)]);
        throw new Error('a fault in the middle');
      });
      await expect(work).rejects.toThrow('a fault in the middle');
      expect(await cells()).toEqual([]);
      expect((await batch.cuts()).size).toBe(0);
      expect(await batch.holders([{ tenant: 'acme', key: 'k1' }])).toEqual([]);
    });

    test('BV-3: rollups are the merge of their partials, however often a segment is published', async () => {
      for (const segment of [0, 1, 1, 0]) {
        await batch.transaction((tx) => publishCells(tx, segment, [cell(BigInt(segment + 1) * SCALE)], [hour(SCALE)]));
      }
      expect(await cells()).toMatchObject([{ count: 2, sum: 3n * SCALE }]);
    });

    test('BV-4: every accumulator merges: least, greatest and latest by its order, in bytes', async () => {
      const of = (n: bigint, order: string): Cell => cell(0n, { min: n, max: n, latest: { order, value: n } });
      await batch.transaction((tx) => publishCells(tx, 0, [of(-3n, '0002|a')]));
      await batch.transaction((tx) => publishCells(tx, 1, [of(9n, '0001|Z')]));
      await batch.transaction((tx) => publishCells(tx, 2, [of(4n, '0002|B')]));
      expect(await cells()).toMatchObject([{ min: -3n, max: 9n, latest: { order: '0002|a', value: -3n } }]);
    });

    test('BV-5: sums are exact at 10^25, 10^-12 and beyond 2^63', async () => {
      const values = [10n ** 37n, 1n, 2n ** 63n, 2n ** 53n, 10n ** 37n];
      for (const [segment, value] of values.entries())
        await batch.transaction((tx) => publishCells(tx, segment, [cell(value)]));
      expect((await cells())[0]?.sum).toBe(values.reduce((a, b) => a + b));
    });

    test('BV-6: a cut never goes back', async () => {
      await batch.transaction((tx) => publishCells(tx, 4, []));
      await batch.transaction((tx) => publishCells(tx, 2, []));
      expect((await batch.cuts()).get('l0')).toEqual({ segments: 5, position: at(5), arrival: 4, rules: 1 });
      await batch.transaction((tx) => tx.raiseCut('l0', { segments: CUT_END, position: END, arrival: 9, rules: 2 }));
      await batch.transaction((tx) => publishCells(tx, 7, []));
      expect((await batch.cuts()).get('l0')).toMatchObject({ segments: CUT_END, position: END });
    });

    test('BV-6: a cut that has folded a gap goes on saying so', async () => {
      const cut = { position: at(1), arrival: 9, rules: 1 };
      await batch.transaction((tx) => tx.raiseCut('l0', { ...cut, segments: 1, gaps: 1 }));
      await batch.transaction((tx) => tx.raiseCut('l0', { ...cut, segments: 2 }));
      await batch.transaction((tx) => tx.raiseCut('l0', { ...cut, segments: 3, gaps: 2 }));
      await batch.transaction((tx) => tx.raiseCut('l0', { ...cut, segments: 3, gaps: 3 }));
      expect((await batch.cuts()).get('l0')).toEqual({ ...cut, segments: 3, gaps: 2 });
      expect((await batch.snapshot({ edges: [0, 1] })).cuts.get('l0')?.gaps).toBe(2);
    });

    test('BV-7: a snapshot selects by tenant, meter and range, and merges by window and group', async () => {
      const minute = HOUR * 60;
      const rows = [
        cell(1n),
        cell(2n, { minute: minute + 1 }),
        cell(4n, { minute: minute + 60 }),
        cell(8n, { group: '["eu"]' }),
        cell(16n, { tenant: 'b' }),
        cell(32n, { meter: 'other@1' }),
      ];
      await batch.transaction((tx) => publishCells(tx, 0, rows));
      const edges = [minute, minute + 60, minute + 120];
      const sums = async (select: object) =>
        (await batch.snapshot({ edges, ...select })).cells.map((c) => [c.minute, c.group, c.sum]).sort();
      expect(await sums({ tenant: 'acme', meter: 'calls@1' })).toEqual([
        [minute, '["eu"]', 8n],
        [minute, '[]', 3n],
        [minute + 60, '[]', 4n],
      ]);
      expect(await sums({ meter: 'calls@1', fromMinute: minute, toMinute: minute + 1 })).toEqual([
        [minute, '["eu"]', 8n],
        [minute, '[]', 17n],
      ]);
      expect(await sums({ tenant: 'nobody' })).toEqual([]);
    });

    test('BV-8: a snapshot shows cuts and rollups of one moment', async () => {
      const over = new AbortController();
      const isOver = (): boolean => over.signal.aborted;
      const reading = (async () => {
        for (let reads = 0; !isOver() || reads === 0; reads += 1) {
          const { cuts, cells: found } = await batch.snapshot(all);
          expect(found[0]?.sum ?? 0n).toBe(BigInt(cuts.get('l0')?.segments ?? 0));
        }
      })();
      for (let segment = 0; segment < 20; segment += 1)
        await batch.transaction((tx) => publishCells(tx, segment, [cell(1n)]));
      over.abort();
      await reading;
    });

    test('BV-9: preparing months again, and many at once, changes nothing', async () => {
      const months = [0, 500, HOUR, HOUR + 24 * 40].map((h) => hour(1n, 1, { hour: h }));
      await Promise.all([batch.prepare(months), batch.prepare(months), batch.prepare([...months].reverse())]);
      await batch.transaction((tx) => publishCells(tx, 0, [], months));
    });

    test('BV-10: rejects are keyed by position and code', async () => {
      const reject = {
        ...{ lineage: 'l0', position: at(1), code: 'KEY_CONFLICT', field: 'idempotency_key', reason: 'other content' },
        ...{ arrival: 1, key: 'acme', tenant: 'acme', eventType: 'calls', value: new Uint8Array([0, 255]) },
      };
      for (let n = 0; n < 2; n += 1) await batch.transaction((tx) => tx.writeRejects([reject]));
    });

    test('BV-11: daily usage is the sum of the hours of its UTC day, however often a segment is published', async () => {
      // 472,000 hours are 19,666 days and 16 hours: 2023-11-05.
      const [first, last] = [HOUR - 16, HOUR + 7];
      const hours = [first - 1, first, HOUR, last, last + 1].map((h, n) => hour(10n ** BigInt(n), 1, { hour: h }));
      const other = hour(3n, 2, { tenant: 'b', hour: last });
      await batch.prepare(hours);
      for (let n = 0; n < 2; n += 1) {
        await batch.transaction((tx) => publishCells(tx, 0, [], [...hours, other]));
        await batch.transaction((tx) => publishCells(tx, 1, [], [hour(7n, 4, { hour: last })]));
      }
      expect(await fixture.days()).toMatchObject([
        { tenant: 'acme', day: '2023-11-04', total: 1n, count: 1 },
        { tenant: 'acme', day: '2023-11-05', total: 1117n, count: 7 },
        { tenant: 'acme', day: '2023-11-06', total: 10_000n, count: 1 },
        { tenant: 'b', day: '2023-11-05', total: 3n, count: 2 },
      ]);
    });

    test('BV-12: unique counts and readings merge from their partials, and over the windows of a snapshot', async () => {
      const unique = (value: string, minute: number) =>
        cell(0n, { meter: 'users@1', minute: HOUR * 60 + minute, distinct: distinctOf(memberOf(value)) });
      const reading = (second: number, tenant: string) =>
        cell(0n, { tenant, meter: 'disk@1', readings: readingsOf({ second, order: String(second), value: SCALE }) });
      const segments = [
        [unique('ann', 0), unique('ann', 1), reading(HOUR * 3600, 'acme')],
        [unique('bob', 0), unique('ann', 1), reading(HOUR * 3600 + 7, 'acme'), reading(HOUR * 3600, 'other')],
      ];
      for (const n of [0, 1, 0]) await batch.transaction((tx) => publishCells(tx, n, segments[n] ?? []));
      const [users] = (await batch.snapshot({ ...all, meter: 'users@1' })).cells;
      expect([users?.count, users?.distinct && countDistinct(users.distinct)]).toEqual([4, 2n]);
      const { cells: disks } = await batch.snapshot({ ...all, meter: 'disk@1', byTenant: true });
      const seconds = disks.map(({ tenant, readings }) => [
        tenant,
        [...(readings?.keys() ?? [])].map((s) => s - HOUR * 3600),
      ]);
      expect(seconds.sort()).toEqual([
        ['acme', [0, 7]],
        ['other', [0]],
      ]);
    });

    test('BV-13: how far a version is filled never goes back, and a version that answers goes on', async () => {
      expect((await batch.filled()).size).toBe(0);
      for (const segments of [3, 2]) await batch.transaction((tx) => tx.raiseFilled('calls@2', 'l0', segments));
      expect((await batch.filled()).get('calls@2')).toEqual(new Map([['l0', 3]]));
      for (let n = 0; n < 2; n += 1) await batch.serve('calls@2');
      expect([...(await batch.serving())]).toEqual(['calls@2']);
    });

    test('BV-14: the copies of a segment are those that its first publish noted', async () => {
      expect(await batch.transaction((tx) => tx.copies('l0', 1))).toBeUndefined();
      await batch.transaction((tx) => tx.writeCopies('l0', 1, []));
      for (const positions of [[at(7), at(9)], [at(8)]]) await batch.transaction((tx) => tx.writeCopies('l0', 2, positions));
      await batch.transaction((tx) => tx.writeCopies('l0', 1, [at(1)]));
      const copies = (segment: number) => batch.transaction((tx) => tx.copies('l0', segment));
      expect([await copies(1), await copies(2), await copies(3)]).toEqual([new Set(), new Set([at(7), at(9)]), undefined]);
    });
  });
}
