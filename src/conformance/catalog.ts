/** The promises of a Catalog (docs/component-spec.md, CAT-*), over any implementation. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Catalog, Reject } from '../contract.ts';
import type { Head, SegmentRow } from '../domain/segment.ts';
import { at, lineage } from './places.ts';

export interface CatalogFixture {
  readonly catalog: Catalog;
  rejects(): Promise<readonly Reject[]>;
  close(): Promise<void>;
}

const row = (head: Head, over: Partial<SegmentRow> = {}): SegmentRow => ({
  lineage: head.lineage,
  segment: head.segment,
  start: head.start,
  end: at(Number(head.start) + 10),
  format: head.format,
  rules: head.rules,
  arrival: head.arrival,
  endArrival: head.arrival + 100,
  object: { key: `segments/${head.lineage}/${head.start}.avro`, sha256: 'ab', bytes: 7 },
  records: 10,
  ok: 9,
  firstOk: head.arrival + 1,
  lastOk: head.arrival + 90,
  newest: 1_790_000_000_000_000,
  ...over,
});
const behind = (r: SegmentRow): Head => ({
  lineage: r.lineage,
  segment: r.segment + 1,
  start: r.end,
  format: r.format,
  rules: r.rules,
  arrival: r.endArrival,
  ended: false,
});
const reject: Reject = {
  ...{ lineage: 'l0', position: at(3), code: 'BAD_TIME', field: null, reason: 'no time', arrival: 5, key: null },
  ...{ tenant: null, eventType: null, value: new Uint8Array([1, 0, 255]) },
};

export function catalogConformance(name: string, make: () => Promise<CatalogFixture>): void {
  describe(`catalog: ${name}`, () => {
    let fixture: CatalogFixture;
    let catalog: Catalog;
    beforeEach(async () => {
      fixture = await make();
      ({ catalog } = fixture);
    });
    afterEach(() => fixture.close());

    const headOf = async (of = lineage()): Promise<Head> => {
      const head = await catalog.head(of);
      if (head === undefined) throw new Error(`${of.id} has no head yet`);
      return head;
    };
    const seal = async (over: Partial<SegmentRow> = {}): Promise<SegmentRow> => {
      const sealed = row(await headOf(), over);
      expect(await catalog.seal(sealed, behind(sealed), [], [])).toBe('sealed');
      return sealed;
    };

    test('CAT-1: a head is made at the origin of its lineage, once, also by many at a time', async () => {
      const heads = await Promise.all(Array.from({ length: 5 }, () => catalog.head(lineage())));
      for (const head of heads)
        expect(head).toEqual({ lineage: 'l0', segment: 0, start: at(0), format: 1, rules: 1, arrival: 0, ended: false });
      expect(await catalog.heads()).toHaveLength(1);
    });

    test('CAT-2: sealing moves the head and writes row, rejects and misrouted records together', async () => {
      const sealed = row(await headOf());
      const misrouted = [{ routingKey: 'b', value: new Uint8Array([9]) }];
      expect(await catalog.seal(sealed, behind(sealed), [reject], misrouted)).toBe('sealed');
      expect(await catalog.head(lineage())).toEqual(behind(sealed));
      expect(await catalog.manifest('l0', 0, 10)).toEqual([sealed]);
      expect((await fixture.rejects()).map((r) => ({ ...r, value: new Uint8Array(r.value) }))).toEqual([reject]);
      const [out] = await catalog.outbox(10);
      expect([out?.routingKey, [...(out?.value ?? [])]]).toEqual(['b', [9]]);
    });

    test('CAT-3: of several sealers one wins; the others write nothing', async () => {
      const sealed = row(await headOf());
      const misrouted = [{ routingKey: 'b', value: new Uint8Array([9]) }];
      const outcomes = await Promise.all(
        Array.from({ length: 6 }, () => catalog.seal(sealed, behind(sealed), [reject], misrouted)),
      );
      expect(outcomes.filter((outcome) => outcome === 'sealed')).toHaveLength(1);
      expect(await catalog.manifest('l0', 0, 10)).toHaveLength(1);
      expect(await catalog.outbox(10)).toHaveLength(1);
    });

    test('CAT-4: the manifest is read in order, from any segment on; a row is found by any position in it', async () => {
      const [first, second] = [await seal(), await seal({ object: null, records: 0, ok: 0, firstOk: null, lastOk: null })];
      expect(await catalog.manifest('l0', 1, 5)).toEqual([second]);
      expect(await catalog.manifest('l0', 0, 1)).toEqual([first]);
      expect(await catalog.rowOf('l0', at(9))).toEqual(first);
      expect(await catalog.rowOf('l0', at(10))).toEqual(second);
      expect(await catalog.rowOf('l0', at(20))).toBeUndefined();
    });

    test('CAT-5: segments by arrival are those that hold an ok event from before it', async () => {
      await seal();
      await seal({ firstOk: null, lastOk: null, ok: 0 });
      await seal();
      expect(await catalog.segmentsBefore(1)).toEqual(new Map());
      expect(await catalog.segmentsBefore(2)).toEqual(new Map([['l0', 1]]));
      expect(await catalog.segmentsBefore(10_000)).toEqual(new Map([['l0', 3]]));
    });

    test('CAT-6: an ended lineage stays ended, and seals nothing more', async () => {
      const head = await headOf();
      await catalog.end({ ...head, start: at(99) });
      expect((await headOf()).ended).toBe(false);
      await catalog.end(head);
      expect((await headOf()).ended).toBe(true);
      expect(await catalog.seal(row(head), behind(row(head)), [], [])).toBe('lost');
    });

    test('CAT-7: the outbox keeps its order until it is settled', async () => {
      const sealed = row(await headOf());
      const records = [1, 2, 3].map((n) => ({ routingKey: `t${String(n)}`, value: new Uint8Array([n]) }));
      await catalog.seal(sealed, behind(sealed), [], records);
      const taken = await catalog.outbox(2);
      expect(taken.map((r) => r.routingKey)).toEqual(['t1', 't2']);
      await catalog.settle(taken.map((r) => r.id));
      await catalog.settle([]);
      expect((await catalog.outbox(10)).map((r) => r.routingKey)).toEqual(['t3']);
    });

    test('CAT-9: a gap is part of its row; it is listed, and acknowledged once', async () => {
      const gap = { from: at(4), places: 6, at: 77, number: 1 };
      await seal();
      const sealed = await seal({ gap: { ...gap, from: at(14) } });
      const unknown = await seal({ gap: { ...gap, from: at(24), places: null, number: 2 } });
      expect((await catalog.manifest('l0', 1, 5)).map((r) => r.gap)).toEqual([sealed.gap, unknown.gap]);
      expect(await catalog.rowOf('l0', at(15))).toEqual(sealed);
      const by = { at: 80, note: 'billed by hand' };
      expect(await catalog.acknowledge({ lineage: 'l0', from: at(14) }, by)).toBe(true);
      expect(await catalog.acknowledge({ lineage: 'l0', from: at(14) }, { at: 90, note: 'later' })).toBe(true);
      expect(await catalog.acknowledge({ lineage: 'l0', from: at(15) }, by)).toBe(false);
      const listed = (r: SegmentRow) => ({ ...r.gap, lineage: 'l0', segment: r.segment, to: r.end, arrival: r.endArrival });
      expect(await catalog.gaps()).toEqual([
        { ...listed(sealed), acknowledged: by },
        { ...listed(unknown), acknowledged: null },
      ]);
    });

    test('CAT-8: a child has no head until its parents have ended, and begins with what was in force there', async () => {
      const child = lineage('child', ['l0', 'l1']);
      const [one, two] = [await headOf(), await headOf(lineage('l1'))];
      expect(await catalog.head(child)).toBeUndefined();
      await catalog.end(one);
      expect(await catalog.head(child)).toBeUndefined();
      const sealed = row(two);
      await catalog.seal(sealed, { ...behind(sealed), format: 2, rules: 3 }, [], []);
      await catalog.end(await headOf(lineage('l1')));
      expect(await catalog.head(child)).toMatchObject({ segment: 0, start: child.origin, format: 2, rules: 3, arrival: 0 });
    });
  });
}
