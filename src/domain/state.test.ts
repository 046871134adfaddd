import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { accumulatorsOf, type Contribution, EMPTY, mergeAccumulators } from './cell.ts';
import { memberOf } from './distinct.ts';
import { type CellState, encodeState, mergeStates } from './state.ts';

const AT = { tenant: 't', meter: 'm@1', minute: 0, group: '[]' } as const;
const counting = (member: string): Contribution => ({
  ...{ ...AT, aggregation: 'unique_count', value: 0n, order: '', member: memberOf(member) },
});
const reading = (second: number, order: string, value: bigint): Contribution => ({
  ...{ ...AT, aggregation: 'time_weighted_sum', value, order, second },
});
/** The merge of all, as the speed layer and folding make it. */
const folded = (all: readonly Contribution[]): CellState => all.map(accumulatorsOf).reduce(mergeAccumulators, EMPTY);
const textOf = (all: readonly Contribution[]): string | null => encodeState(folded(all));

const counts = fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'é').map(counting), { maxLength: 8 });
const readings = fc
  .uniqueArray(fc.record({ second: fc.nat(5), order: fc.nat(99), value: fc.bigInt() }), {
    selector: ({ order }) => order,
    maxLength: 8,
  })
  .map((list) => list.map(({ second, order, value }) => reading(second, String(order).padStart(2, '0'), value)));

describe('the state of a cell', () => {
  test.each([
    ['unique counts', counts],
    ['readings', readings],
  ])('of %s, merged as texts, is the state of all contributions, however they lie in cells', (_, kind) => {
    fc.assert(
      fc.property(kind, fc.nat(8), fc.boolean(), (all, cut, isTurned) => {
        const cells = [all.slice(0, cut), [], all.slice(cut)].map(textOf);
        const merged = mergeStates(isTurned ? cells.reverse() : cells);
        expect(encodeState(merged)).toBe(textOf(all));
        if (all.length > 0) expect(merged).toEqual(mergeStates([textOf(all)]));
      }),
      { numRuns: 200 },
    );
  });

  test('is none for cells that have none', () => {
    expect(textOf([{ ...AT, aggregation: 'sum', value: 3n, order: '' }])).toBeNull();
    expect([mergeStates([]), mergeStates([null, null])]).toEqual([{}, {}]);
    expect(encodeState({})).toBeNull();
  });

  test('of few members and of many merges to one sketch, whichever comes first', () => {
    const members = Array.from({ length: 1001 }, (_, n) => counting(`member ${String(n)}`));
    const [few, rest, all] = [members.slice(0, 5), members.slice(5), members].map(textOf);
    expect([few?.[0], rest?.[0], all?.[0]]).toEqual(['E', 'E', 'H']);
    for (const texts of [
      [few!, rest!],
      [rest!, few!],
      [all!, few!],
      [null, few!, all!],
    ])
      expect(encodeState(mergeStates(texts))).toBe(all);
  });

  test.each(['', 'X', 'R', 'R[', 'E!', 'H'])('cannot be read from %j', (text) => {
    expect(() => mergeStates([text])).toThrow();
    expect(() => mergeStates([textOf([counting('a')]), text])).toThrow();
  });
});
