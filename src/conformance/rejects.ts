/** The promises of Rejects (docs/component-spec.md, REJ-*), over any implementation. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Catalog, Homeward, Reject, RejectFilter, Rejects } from '../contract.ts';
import { at, lineage } from './places.ts';

export interface RejectsFixture {
  readonly rejects: Rejects;
  /** Of the same store. */
  readonly catalog: Catalog;
  close(): Promise<void>;
}

export const rejectAt = (position: number, over: Partial<Reject> = {}): Reject => ({
  ...{ lineage: 'l0', position: at(position), code: 'UNKNOWN_TENANT', field: 'tenant_id', reason: 'who', key: 't' },
  ...{ arrival: 1000 + position, tenant: 't', eventType: 'calls', value: new Uint8Array([0, position % 256, 255]) },
  ...over,
});

/** One segment with these rejects. */
export async function sealRejects(catalog: Catalog, rejects: readonly Reject[]): Promise<void> {
  const head = await catalog.head(lineage());
  if (head === undefined) throw new Error('no head');
  const counts = { records: rejects.length, ok: 0, firstOk: null, lastOk: null, newest: null, object: null };
  const end = at(Number(head.start) + 1000);
  const next = { ...head, segment: head.segment + 1, start: end };
  expect(await catalog.seal({ ...head, ...counts, end, endArrival: head.arrival }, next, rejects, [])).toBe('sealed');
}

const homeOf = ({ lineage: id, position, code }: Reject): Homeward => ({
  lineage: id,
  position,
  code,
  routingKey: `to-${position}`,
});
const AT = 1_790_000_000_123;

export function rejectsConformance(name: string, make: () => Promise<RejectsFixture>): void {
  describe(`rejects: ${name}`, () => {
    let fixture: RejectsFixture;
    let rejects: Rejects;
    let catalog: Catalog;
    beforeEach(async () => {
      fixture = await make();
      ({ rejects, catalog } = fixture);
    });
    afterEach(() => fixture.close());

    const positions = async (filter: RejectFilter = {}, limit = 100): Promise<number[]> => {
      const found: number[] = [];
      for (let cursor: string | undefined, more = true; more;) {
        const page = await rejects.waiting(filter, { limit, ...(cursor === undefined ? {} : { cursor }) });
        expect(page.rejects.length).toBeLessThanOrEqual(limit);
        found.push(...page.rejects.map(({ position }) => Number(position)));
        cursor = page.next;
        more = cursor !== undefined;
      }
      return found;
    };
    const outbox = async () => (await catalog.outbox(1000)).map((r) => [r.routingKey, [...r.value]]);

    test('REJ-1: what was not redriven and matches comes oldest first, each once, whatever the pages', async () => {
      const list = [
        rejectAt(5, { arrival: 7 }),
        rejectAt(4, { arrival: 7 }),
        rejectAt(3, { arrival: 9, tenant: 'u', code: 'BAD_TIME' }),
        rejectAt(2, { arrival: 9, tenant: null, code: 'UNDECODABLE', eventType: null, field: null, key: null }),
        rejectAt(1, { arrival: 8, code: 'KEY_CONFLICT' }),
        rejectAt(6, { arrival: 10 }),
      ];
      await sealRejects(catalog, list);
      for (const limit of [1, 2, 3, 5, 100]) expect(await positions({}, limit)).toEqual([4, 5, 2, 3, 6]);
      expect(await positions({ code: 'UNKNOWN_TENANT' }, 2)).toEqual([4, 5, 6]);
      expect(await positions({ code: 'KEY_CONFLICT' })).toEqual([]);
      expect(await positions({ tenant: 'u' })).toEqual([3]);
      expect(await positions({ since: 9 })).toEqual([2, 3, 6]);
      expect(await positions({ before: 9 })).toEqual([4, 5]);
      expect(await positions({ since: 8, before: 10 })).toEqual([2, 3]);
      expect(await positions({ lineage: 'l0', position: at(3) })).toEqual([3]);
      expect(await positions({ lineage: 'l1' })).toEqual([]);
      expect(await rejects.conflicts({})).toBe(1);
      expect(await rejects.conflicts({ before: 8 })).toBe(0);
      expect(await rejects.conflicts({ code: 'BAD_TIME' })).toBe(0);
      const { rejects: whole } = await rejects.waiting({ tenant: 'u' }, { limit: 1 });
      expect(whole.map((r) => ({ ...r, value: new Uint8Array(r.value) }))).toEqual([list[2]]);
    });

    test('REJ-2: a page is bounded in records and in bytes; a single larger reject still comes', async () => {
      const megabytes = (n: number): Uint8Array => new Uint8Array(n * 1024 * 1024);
      await sealRejects(catalog, [rejectAt(1, { value: megabytes(5) }), rejectAt(2, { value: megabytes(5) }), rejectAt(3)]);
      const first = await rejects.waiting({}, { limit: 100 });
      expect(first.rejects.map(({ value }) => value.length)).toEqual([5 * 1024 * 1024]);
      expect(await positions()).toEqual([1, 2, 3]);
    });

    test('REJ-3: redriving marks the rejects and puts their records into the outbox, byte by byte and in order', async () => {
      const list = [rejectAt(1), rejectAt(2), rejectAt(3, { code: 'TOO_FAR_IN_FUTURE' })];
      await sealRejects(catalog, list);
      const asked = [list[2], list[0]].flatMap((r) => (r === undefined ? [] : [homeOf(r)]));
      expect(await rejects.redrive(asked, AT)).toEqual(
        new Map([
          ['TOO_FAR_IN_FUTURE', 1],
          ['UNKNOWN_TENANT', 1],
        ]),
      );
      expect(await outbox()).toEqual([
        [`to-${at(3)}`, [0, 3, 255]],
        [`to-${at(1)}`, [0, 1, 255]],
      ]);
      expect(await positions()).toEqual([2]);
    });

    test('REJ-4: a reject is redriven once, also by many at a time; a conflict, or what is not there, never', async () => {
      const list = Array.from({ length: 40 }, (_, n) => rejectAt(n));
      await sealRejects(catalog, [...list, rejectAt(40, { code: 'KEY_CONFLICT' })]);
      const all = [...list.map(homeOf), homeOf(rejectAt(40, { code: 'KEY_CONFLICT' })), homeOf(rejectAt(77))];
      const turned = (n: number): Homeward[] => [...all.slice(n), ...all.slice(0, n)];
      const done = await Promise.all(
        [0, 7, 14, 21].map((n) => rejects.redrive(n % 2 === 0 ? turned(n) : turned(n).reverse(), AT)),
      );
      expect(done.reduce((sum, counts) => sum + (counts.get('UNKNOWN_TENANT') ?? 0), 0)).toBe(40);
      expect(done.flatMap((counts) => [...counts.keys()]).filter((code) => code !== 'UNKNOWN_TENANT')).toEqual([]);
      expect(new Set((await outbox()).map(([key]) => key)).size).toBe(40);
      expect(await outbox()).toHaveLength(40);
      expect(await rejects.redrive(all, AT)).toEqual(new Map());
      expect(await rejects.redrive([], AT)).toEqual(new Map());
      expect(await positions()).toEqual([]);
    });

    test.each(['', 'nothing', Buffer.from('["x","l0","1","A"]').toString('base64url')])(
      'REJ-5: the cursor %j is refused',
      async (cursor) => {
        const asked = rejects.waiting({}, { limit: 1, cursor });
        await expect(asked).rejects.toMatchObject({ code: 'BAD_REQUEST', detail: { field: 'cursor' } });
      },
    );
  });
}
