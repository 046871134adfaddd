/** The promises of a SpeedStore (docs/component-spec.md, SPD-*). Every implementation runs them. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { AdvanceRequest, ApplyRequest, BucketView, SpeedCell, SpeedRecord, SpeedStore } from '../contract.ts';
import { END } from '../contract.ts';
import type { Aggregation, Contribution } from '../domain/cell.ts';
import { at } from './places.ts';

export interface SpeedFixture {
  readonly store: SpeedStore;
  /** Forgets a bucket, as a lost server would. */
  wipe(bucket: number): Promise<void>;
  close(): Promise<void>;
}

const SCALE = 10n ** 12n;
const L = 'l0';
const digestOf = (n: number): string => String(n).padStart(16, '0');

export const contribution = (value: bigint, over: Partial<Contribution> = {}): Contribution => ({
  tenant: 'acme',
  meter: 'calls@1',
  minute: 7,
  group: '[]',
  aggregation: 'sum',
  value,
  order: '',
  ...over,
});
export const speedRecord = (offset: number, value: bigint, over: Partial<SpeedRecord> = {}): SpeedRecord => ({
  position: at(offset),
  digest: digestOf(offset),
  epoch: 3,
  segment: 0,
  contributions: [contribution(value)],
  ...over,
});

export function speedStoreConformance(name: string, make: () => Promise<SpeedFixture>): void {
  describe(`speed store: ${name}`, () => {
    let fixture: SpeedFixture;
    let store: SpeedStore;
    let serial = 0;

    beforeEach(async () => {
      fixture = await make();
      ({ store } = fixture);
    });
    afterEach(() => fixture.close());

    const advance = async (over: Partial<AdvanceRequest> = {}, bucket = 0, lineage = L) =>
      store.advance({
        bucket,
        lineage,
        seen: await store.look(bucket, lineage),
        mint: { incarnation: 'i1', oldest: 2 },
        mark: `m${String((serial += 1))}`,
        parents: [],
        ...over,
      });
    /** A bucket with a fence at the start of the log. */
    const opened = async (bucket = 0, lineage = L): Promise<BucketView> => {
      await advance({ floor: 0 }, bucket, lineage);
      const reply = await advance({ fence: { position: at(0), arrival: 0, rules: 1 } }, bucket, lineage);
      if (!reply.ok) throw new Error(reply.refused);
      return reply.view;
    };
    const request = (to: number, records: readonly SpeedRecord[], over: Partial<ApplyRequest> = {}): ApplyRequest => ({
      bucket: 0,
      lineage: L,
      incarnation: 'i1',
      prev: at(0),
      to: at(to),
      arrival: 5,
      rules: 3,
      oldest: 2,
      records,
      ...over,
    });
    const cells = async (): Promise<readonly SpeedCell[]> => (await store.read([0], {})).flatMap((b) => b.cells);
    const total = async (): Promise<bigint> => (await cells()).reduce((sum, cell) => sum + cell.sum, 0n);
    const state = async () =>
      JSON.stringify([await store.look(0, L), (await store.read([0], {})).map(plain), await store.epochs(0)]);

    test('SPD-1: apply adds records to cells and raises the fence, with its arrival and rules', async () => {
      await opened();
      expect(await store.apply(request(2, [speedRecord(0, 5n), speedRecord(1, 7n)]))).toMatchObject({
        ok: true,
        view: { fence: at(2) },
      });
      const [bucket] = await store.read([0], {});
      expect(bucket?.fences.get(L)).toEqual({ position: at(2), arrival: 5, rules: 3 });
      expect(bucket?.cells).toMatchObject([{ lineage: L, segment: 0, tenant: 'acme', minute: 7, count: 2, sum: 12n }]);
    });

    test('SPD-2: a second delivery, however it is cut, changes nothing', async () => {
      await opened();
      await store.apply(
        request(
          3,
          [0, 1, 2].map((n) => speedRecord(n, 1n)),
        ),
      );
      const before = await state();
      await store.apply(
        request(
          3,
          [0, 1, 2].map((n) => speedRecord(n, 1n)),
        ),
      );
      await store.apply(
        request(
          2,
          [1].map((n) => speedRecord(n, 1n)),
        ),
      );
      // Read from the start of a segment, below the fence that the worker knows of.
      await store.apply(request(3, [speedRecord(0, 1n, { digest: digestOf(90) })], { prev: at(3) }));
      expect(await state()).toBe(before);
      await store.apply(
        request(
          5,
          [2, 3, 4].map((n) => speedRecord(n, 1n)),
        ),
      );
      expect(await total()).toBe(5n);
    });

    test('SPD-3: a key counts once per bucket, within a call, between calls and between lineages', async () => {
      await opened();
      await opened(0, 'l1');
      const same = { digest: digestOf(99) };
      await store.apply(request(2, [speedRecord(0, 1n, same), speedRecord(1, 1n, same)]));
      await store.apply(request(3, [speedRecord(2, 1n, same)], { prev: at(2) }));
      await store.apply(request(1, [speedRecord(0, 1n, same)], { lineage: 'l1' }));
      expect(await total()).toBe(1n);
    });

    test('SPD-4: apply refuses a missing or fallen fence, another incarnation and another oldest, and changes nothing', async () => {
      expect(await store.apply(request(1, [speedRecord(0, 1n)]))).toMatchObject({ ok: false });
      await opened();
      const before = await state();
      const tries: [Partial<ApplyRequest>, string][] = [
        [{ prev: at(1) }, 'fence'],
        [{ incarnation: 'other' }, 'incarnation'],
        [{ oldest: 1 }, 'oldest'],
      ];
      for (const [over, refused] of tries)
        expect(await store.apply(request(2, [speedRecord(1, 1n)], over))).toEqual({ ok: false, refused });
      expect(await store.apply(request(1, [speedRecord(0, 1n)], { lineage: 'unknown' }))).toEqual({
        ok: false,
        refused: 'fence',
      });
      expect(await state()).toBe(before);
    });

    test('SPD-5: END lies behind every position, and a fence never goes back', async () => {
      await opened();
      await store.apply({ ...request(1, [speedRecord(0, 1n)]), to: END });
      await store.apply(request(9, [speedRecord(4, 1n)]));
      expect((await store.look(0, L)).fence).toBe(END);
      expect(await total()).toBe(1n);
    });

    test('SPD-6: advance sets floor, keys and fence; keys it loaded are known', async () => {
      await advance({ floor: 4 });
      await advance({ keys: [{ digest: digestOf(1), epoch: 2 }] });
      await advance({ fence: { position: at(1), arrival: 3, rules: 1 } });
      expect(await store.look(0, L)).toMatchObject({ incarnation: 'i1', oldest: 2, fence: at(1), floor: 4 });
      await store.apply(request(3, [speedRecord(1, 1n), speedRecord(2, 10n)], { prev: at(1) }));
      expect(await total()).toBe(10n);
    });

    test('SPD-7: a chunk of advance refuses what is not as its predecessor left it', async () => {
      const seen = await store.look(0, L);
      await advance({ floor: 1 });
      expect(await advance({ seen, keys: [] })).toMatchObject({ ok: false, refused: 'incarnation' });
      const now = await store.look(0, L);
      expect(await advance({ seen: { ...now, oldest: 9 } })).toEqual({ ok: false, refused: 'oldest' });
      expect(await advance({ seen: { ...now, mark: 'stale' } })).toEqual({ ok: false, refused: 'mark' });
      await fixture.wipe(0);
      expect(await advance({ seen: now })).toMatchObject({ ok: false });
    });

    test('SPD-8: every chunk is refused until every parent is at END in this bucket', async () => {
      const [fence, parents] = [{ position: at(0), arrival: 0, rules: 1 }, ['parent']];
      for (const chunk of [{ floor: 1 }, { keys: [{ digest: digestOf(1), epoch: 2 }] }, { fence }])
        expect(await advance({ ...chunk, parents })).toEqual({ ok: false, refused: 'parent' });
      expect(await store.epochs(0)).toEqual([]);
      await advance({ fence: { position: END, arrival: 0, rules: 1 } }, 0, 'parent');
      expect(await advance({ fence, parents })).toMatchObject({ ok: true });
    });

    test('SPD-9: advance never takes a fence or floor back', async () => {
      await opened();
      await store.apply(request(5, []));
      await advance({ floor: 3 });
      await advance({ floor: 1, fence: { position: at(2), arrival: 0, rules: 1 } });
      expect(await store.look(0, L)).toMatchObject({ fence: at(5), floor: 3 });
    });

    test('SPD-10: collect removes cells below the cut and raises the floor, other cells stay', async () => {
      await opened();
      await opened(0, 'l1');
      await store.apply(
        request(
          3,
          [0, 1, 2].map((n) => speedRecord(n, 1n, { segment: n })),
        ),
      );
      await store.apply(request(1, [speedRecord(0, 100n, { digest: digestOf(50) })], { lineage: 'l1' }));
      await store.collect(0, L, 2);
      await store.collect(0, L, 1);
      expect((await store.look(0, L)).floor).toBe(2);
      expect((await cells()).map((c) => [c.lineage, c.segment]).sort()).toEqual([
        [L, 2],
        ['l1', 0],
      ]);
    });

    test('SPD-11: an epoch goes only when two newer hold digests and every needed floor is reached', async () => {
      await opened();
      const epochs = (list: number[]) => list.map((epoch, n) => speedRecord(n, 1n, { epoch }));
      await store.apply(request(2, epochs([3, 4])));
      expect(await store.dropEpoch(0, 3, new Map())).toBe(false);
      await store.apply(request(3, [speedRecord(2, 1n, { epoch: 5 })], { prev: at(2) }));
      expect(await store.dropEpoch(0, 3, new Map([[L, 1]]))).toBe(false);
      await store.collect(0, L, 1);
      expect(await store.dropEpoch(0, 3, new Map([[L, 1]]))).toBe(true);
      expect((await store.look(0, L)).oldest).toBe(4);
      expect(await store.epochs(0)).toEqual([4, 5]);
      expect(await store.dropEpoch(0, 3, new Map())).toBe(false);
    });

    test('SPD-12: a digest of an epoch that is gone is kept with the oldest', async () => {
      await opened();
      await store.apply(request(1, [speedRecord(0, 1n, { epoch: 0 })]));
      expect(await store.epochs(0)).toEqual([2]);
    });

    test('SPD-13: sums are exact from 10^-12 to 10^25, across 2^53 and 2^63, and below zero', async () => {
      await opened();
      const values = [1n, 10n ** 25n * SCALE, 2n ** 53n, -(2n ** 53n), 2n ** 63n, 1n, -(10n ** 25n) * SCALE, 10n ** 37n];
      await store.apply(
        request(
          values.length,
          values.map((value, n) => speedRecord(n, value)),
        ),
      );
      expect(await total()).toBe(values.reduce((a, b) => a + b));
    });

    test('SPD-14: every aggregation keeps its own accumulator', async () => {
      await opened();
      const kinds: Aggregation[] = ['sum', 'count', 'min', 'max', 'average', 'latest'];
      const records = [3n, -5n, 4n].map((value, n) =>
        speedRecord(n, 0n, {
          contributions: kinds.map((aggregation) =>
            contribution(value, {
              aggregation,
              meter: `${aggregation}@1`,
              order: aggregation === 'latest' ? (['b', 'c', 'a'][n] ?? '') : '',
            }),
          ),
        }),
      );
      await store.apply(request(3, records));
      const by = new Map((await cells()).map((cell) => [cell.meter, cell]));
      expect(by.get('sum@1')).toMatchObject({ sum: 2n, count: 3 });
      expect(by.get('count@1')).toMatchObject({ count: 3 });
      expect(by.get('min@1')).toMatchObject({ min: -5n });
      expect(by.get('max@1')).toMatchObject({ max: 4n });
      expect(by.get('average@1')).toMatchObject({ sum: 2n, count: 3 });
      expect(by.get('latest@1')).toMatchObject({ latest: { order: 'c', value: -5n } });
    });

    test('SPD-18: unique counts keep their members, and gauges the last reading of each second', async () => {
      await opened();
      const unique = (member: string): Contribution =>
        contribution(0n, { meter: 'users@1', aggregation: 'unique_count', member });
      const reading = (second: number, value: bigint, order: string): Contribution =>
        contribution(value, { meter: 'disk@1', aggregation: 'time_weighted_sum', second, order });
      const records = [
        speedRecord(0, 0n, { contributions: [unique('member-1'), reading(420, 5n, 'a')] }),
        speedRecord(1, 0n, { contributions: [unique('member-2'), reading(420, 7n, 'b')] }),
        speedRecord(2, 0n, { contributions: [unique('member-1'), reading(425, 9n, 'a')] }),
      ];
      await store.apply(request(1, records.slice(0, 1)));
      await store.apply(request(3, records, { prev: at(1) }));
      const found = await cells();
      const of = (meter: string): SpeedCell | undefined => found.find((one) => one.meter === meter);
      expect([of('users@1')?.count, of('users@1')?.distinct?.members?.size]).toEqual([3, 2]);
      const readings = [...(of('disk@1')?.readings?.values() ?? [])].map(({ second, value }) => [second, value]);
      expect(readings).toEqual([
        [420, 7n],
        [425, 9n],
      ]);
    });

    test('SPD-15: read selects by tenant, meter and minutes, and gives fences and floors of every bucket asked', async () => {
      await opened();
      const cell = (over: Partial<Contribution>, n: number) =>
        speedRecord(n, 1n, { contributions: [contribution(1n, over)] });
      await store.apply(
        request(4, [cell({}, 0), cell({ tenant: 'b' }, 1), cell({ meter: 'x@1' }, 2), cell({ minute: 9 }, 3)]),
      );
      const found = async (select: Parameters<SpeedStore['read']>[1]) => (await store.read([0], select))[0]?.cells.length;
      expect(await found({})).toBe(4);
      expect(await found({ tenant: 'b' })).toBe(1);
      expect(await found({ tenant: 'nobody' })).toBe(0);
      expect(await found({ meter: 'x@1' })).toBe(1);
      expect(await found({ fromMinute: 8, toMinute: 10 })).toBe(1);
      expect(await found({ toMinute: 9 })).toBe(3);
      // Also to several who ask at once, of a segment that nobody has asked for before.
      await store.apply(request(5, [speedRecord(4, 1n, { segment: 1 })], { prev: at(4) }));
      expect(await Promise.all([{}, {}, { tenant: 'acme' }].map(found))).toEqual([5, 5, 4]);
      expect((await store.read([0, 1], {})).map((b) => [b.bucket, b.fences.size])).toEqual([
        [0, 1],
        [1, 0],
      ]);
    });

    test('SPD-20: `told` answers the latest beat that was told of', async () => {
      const answers = [];
      for (const beat of [undefined, 3, 2, undefined, 12]) answers.push(await store.told(beat));
      expect(answers).toEqual([0, 3, 3, 3, 12]);
      await opened();
      await store.forget(0, 'i1');
      expect(await store.told()).toBe(12);
    });

    test('SPD-19: `forget` empties a bucket of this incarnation, wholly, and leaves every other one', async () => {
      await opened();
      await opened(1);
      await store.apply(request(2, [speedRecord(0, 5n), speedRecord(1, 6n, { segment: 1 })]));
      await store.forget(0, 'another');
      expect(await total()).toBe(11n);
      await store.forget(0, 'i1');
      await store.forget(0, 'i1');
      expect(await store.look(0, L)).toEqual({ floor: 0 });
      expect((await store.read([0], {}))[0]).toMatchObject({ cells: [], fences: new Map(), floors: new Map() });
      expect(await store.epochs(0)).toEqual([]);
      expect((await store.look(1, L)).incarnation).toBe('i1');
      // Who wrote before does not get through, and what is counted anew knows nothing of what was.
      expect(await store.apply(request(3, [speedRecord(2, 1n)]))).toEqual({ ok: false, refused: 'incarnation' });
      await advance({ mint: { incarnation: 'i2', oldest: 2 }, fence: { position: at(0), arrival: 0, rules: 1 } });
      await store.apply(request(2, [speedRecord(0, 5n)], { incarnation: 'i2' }));
      await store.forget(0, 'i1');
      expect(await total()).toBe(5n);
    });

    test('SPD-16: a malformed argument is refused with the store unchanged', async () => {
      await opened();
      await store.apply(request(1, [speedRecord(0, 1n)]));
      const before = await state();
      const bad: unknown[] = [
        request(2, [speedRecord(1, 1n), speedRecord(1, 1n)]),
        request(2, [speedRecord(5, 1n)]),
        request(3, [speedRecord(1, 1n), speedRecord(2, 1n, { digest: 'short' })]),
        request(3, [speedRecord(1, 1n), speedRecord(2, 10n ** 38n)]),
        request(3, [speedRecord(1, 1n), { ...speedRecord(2, 1n), epoch: -1 }]),
        request(3, [speedRecord(1, 1n), { ...speedRecord(2, 1n), segment: 0.5 }]),
        request(3, [speedRecord(1, 1n), speedRecord(2, 1n, { contributions: [contribution(1n, { tenant: '' })] })]),
        request(3, [
          speedRecord(1, 1n),
          speedRecord(2, 1n, { contributions: [{ ...contribution(1n), aggregation: 'median' as Aggregation }] }),
        ]),
        { ...request(0, []), prev: at(1), to: at(0) },
        { ...request(2, []), lineage: '' },
        { ...request(2, []), arrival: Number.NaN },
        { ...request(2, []), bucket: 12_345 },
      ];
      for (const r of bad) await expect(async () => store.apply(r as ApplyRequest)).rejects.toThrow();
      await expect(async () => advance({ floor: -1 })).rejects.toThrow();
      await expect(async () => advance({ keys: [{ digest: 'x', epoch: 1 }] })).rejects.toThrow();
      await expect(async () => advance({ parents: [''] })).rejects.toThrow();
      await expect(async () => advance({ fence: { position: '', arrival: 0, rules: 1 } })).rejects.toThrow();
      await expect(async () => store.collect(0, L, -1)).rejects.toThrow();
      await expect(async () => store.dropEpoch(0, 0.5, new Map())).rejects.toThrow();
      expect(await state()).toBe(before);
    });

    test('SPD-17: for any log, any cuts of it and any replays, the total is that of the first copies', async () => {
      // Loaded here: the other suites do without it.
      const fc = await import('fast-check');
      const logs = fc.array(fc.record({ key: fc.nat(12), value: fc.bigInt(-(10n ** 37n), 10n ** 37n) }), { maxLength: 40 });
      const reads = fc.array(fc.tuple(fc.nat(40), fc.nat(40)), { maxLength: 12 });
      await fc.assert(
        fc.asyncProperty(logs, reads, async (log, cuts) => {
          await fixture.wipe(0);
          await opened();
          const records = log.map(({ key, value }, n) => speedRecord(n, value, { digest: digestOf(1000 + key) }));
          let fence = 0;
          for (const [a, b] of [...cuts, [0, log.length] as const]) {
            const from = Math.min(a, fence);
            const to = Math.max(from, Math.min(b, log.length));
            await store.apply(request(to, records.slice(from, to), { prev: at(0) }));
            fence = Math.max(fence, to);
          }
          const firsts = new Map<number, bigint>();
          for (const { key, value } of log) if (!firsts.has(key)) firsts.set(key, value);
          expect(await total()).toBe([...firsts.values()].reduce((x, y) => x + y, 0n));
        }),
        { numRuns: 100 },
      );
    });
  });
}

const plain = (b: Awaited<ReturnType<SpeedStore['read']>>[number]): unknown => ({
  ...b,
  fences: [...b.fences],
  floors: [...b.floors],
  cells: b.cells.map((c) => ({ ...c, sum: String(c.sum), min: String(c.min), max: String(c.max), latest: c.latest?.order })),
});
