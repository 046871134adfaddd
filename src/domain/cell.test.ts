import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Accumulators,
  accumulatorsOf,
  type Aggregation,
  AGGREGATIONS,
  type Cell,
  cellId,
  type Contribution,
  EMPTY,
  fieldOf,
  foldCells,
  mergeAccumulators,
} from './cell.ts';

const ORDERED: readonly Aggregation[] = ['latest', 'time_weighted_sum'];

const value = fc.oneof(fc.bigInt({ min: -3n, max: 3n }), fc.bigInt({ min: -(10n ** 38n), max: 10n ** 38n }));
const key = fc.record({
  tenant: fc.constantFrom('acme', 'zeta', 'Ünï'),
  minute: fc.constantFrom(0, 9, 10, 29_000_000),
  group: fc.constantFrom('[]', '["small"]', '["large"]', '[null]'),
});

/** Contributions to a meter of each aggregation; `order` is unique, as the position of an event is. */
const contributions = (aggregations: readonly Aggregation[]): fc.Arbitrary<Contribution[]> =>
  fc
    .array(fc.record({ key, value, aggregation: fc.constantFrom(...aggregations), of: fc.nat(3) }), { maxLength: 40 })
    .chain((drawn) =>
      fc.shuffledSubarray([...drawn.keys()], { minLength: drawn.length }).map((places) =>
        drawn.map(({ key: { tenant, minute, group }, value, aggregation, of }, n) => {
          const order = ORDERED.includes(aggregation) ? String(places[n]).padStart(4, '0') : '';
          const state = {
            ...(aggregation === 'unique_count' ? { member: `member ${String(of)}` } : {}),
            ...(aggregation === 'time_weighted_sum' ? { second: minute * 60 + of } : {}),
          };
          return { tenant, meter: `${aggregation}@1`, minute, group, aggregation, value, order, ...state };
        }),
      ),
    );

const together = (list: readonly Contribution[]): Accumulators => list.map(accumulatorsOf).reduce(mergeAccumulators, EMPTY);
const third = (list: readonly Contribution[], n: number): Accumulators => together(list.filter((_, i) => i % 3 === n));

describe.each(AGGREGATIONS)('merging cells of %s', (aggregation) => {
  test('does not depend on how they are bracketed, nor on which comes first', () => {
    fc.assert(
      fc.property(contributions([aggregation]), (list) => {
        const [a, b, c] = [third(list, 0), third(list, 1), third(list, 2)];
        const left = mergeAccumulators(mergeAccumulators(a, b), c);
        expect(mergeAccumulators(a, mergeAccumulators(b, c))).toEqual(left);
        expect(mergeAccumulators(c, mergeAccumulators(b, a))).toEqual(left);
        expect(together(list)).toEqual(left);
      }),
    );
  });

  test('with the empty cell changes nothing', () => {
    fc.assert(
      fc.property(contributions([aggregation]), (list) => {
        const cell = together(list);
        expect(mergeAccumulators(cell, EMPTY)).toEqual(cell);
        expect(mergeAccumulators(EMPTY, cell)).toEqual(cell);
      }),
    );
  });
});

describe('a single contribution', () => {
  const of = (aggregation: Aggregation): Accumulators =>
    accumulatorsOf({ tenant: 't', meter: 'm@1', minute: 0, group: '[]', aggregation, value: 7n, order: 'o' });

  test('fills only the accumulators of its aggregation', () => {
    expect(of('sum')).toEqual({ ...EMPTY, count: 1, sum: 7n });
    expect(of('average')).toEqual({ ...EMPTY, count: 1, sum: 7n });
    expect(of('count')).toEqual({ ...EMPTY, count: 1 });
    expect(of('min')).toEqual({ ...EMPTY, count: 1, min: 7n });
    expect(of('max')).toEqual({ ...EMPTY, count: 1, max: 7n });
    expect(of('latest')).toEqual({ ...EMPTY, count: 1, latest: { order: 'o', value: 7n } });
  });

  test('of a unique count holds its member, of a gauge its reading', () => {
    const at = { tenant: 't', meter: 'm@1', minute: 0, group: '[]', value: 7n, order: 'o' };
    const counted = accumulatorsOf({ ...at, aggregation: 'unique_count', member: 'x' });
    expect(counted).toEqual({ ...EMPTY, count: 1, distinct: { members: new Set(['x']) } });
    const read = accumulatorsOf({ ...at, aggregation: 'time_weighted_sum', second: 59 });
    const readings = new Map([[59, { second: 59, order: 'o', value: 7n }]]);
    expect(read).toEqual({ ...EMPTY, count: 1, readings });
  });
});

/** The lists of values, kept whole; everything is computed from them at the end. */
type Naive = Map<string, Contribution[]>;
const naive = (list: readonly Contribution[]): Naive => {
  const kept: Naive = new Map();
  for (const c of list) {
    const id = [c.tenant, c.meter, c.minute, c.group].join(' / ');
    kept.set(id, [...(kept.get(id) ?? []), c]);
  }
  return kept;
};
const ascending = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

function expected(list: readonly Contribution[]): Cell {
  const [{ tenant, meter, minute, group, aggregation }] = list as [Contribution];
  const values = list.map((c) => c.value).sort(ascending);
  const cell: Cell = { tenant, meter, minute, group, ...EMPTY, count: list.length };
  const [last] = [...list].sort((a, b) => Number(b.order) - Number(a.order));
  switch (aggregation) {
    case 'count':
      return cell;
    case 'sum':
    case 'average':
      return { ...cell, sum: values.reduce((a, b) => a + b) };
    case 'min':
      return { ...cell, min: values[0] };
    case 'max':
      return { ...cell, max: values.at(-1) };
    case 'latest':
      return { ...cell, latest: { order: last!.order, value: last!.value } };
    case 'unique_count':
      return { ...cell, distinct: { members: new Set(list.map((c) => c.member!)) } };
    case 'time_weighted_sum': {
      // The last of each second: what comes later takes the place of what came before.
      const inOrder = [...list].sort((a, b) => Number(a.order) - Number(b.order));
      const rows = inOrder.map(({ second, order, value }) => [second!, { second: second!, order, value }] as const);
      return { ...cell, readings: new Map(rows) };
    }
  }
}

describe('folding contributions', () => {
  test('keeps of each cell what a list of all its values says', () => {
    fc.assert(
      fc.property(contributions(AGGREGATIONS), (list) => {
        const cells = new Map(foldCells(list).map((c) => [[c.tenant, c.meter, c.minute, c.group].join(' / '), c]));
        expect(cells).toEqual(new Map([...naive(list)].map(([id, kept]) => [id, expected(kept)])));
      }),
      { numRuns: 300 },
    );
  });

  test('answers each cell once, in the order of the ids, whatever order they came in', () => {
    const both = contributions(AGGREGATIONS).chain((list) =>
      fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
    );
    fc.assert(
      fc.property(both, ([list, shuffled]) => {
        const cells = foldCells(list);
        const ids = cells.map(cellId);
        expect(ids).toEqual([...new Set(list.map(cellId))].sort());
        expect(foldCells(shuffled)).toEqual(cells);
      }),
    );
  });

  test('takes the later of two latest values, not the greater', () => {
    const at = (order: string, value: bigint): Contribution => ({
      ...{ tenant: 't', meter: 'm@1', minute: 3, group: '[]' },
      ...{ aggregation: 'latest', order, value },
    });
    expect(foldCells([at('2', 1n), at('1', 9n)])[0]?.latest).toEqual({ order: '2', value: 1n });
    expect(foldCells([at('1', 9n), at('2', 1n)])[0]?.latest).toEqual({ order: '2', value: 1n });
  });

  test('of nothing is no cell', () => {
    expect(foldCells([])).toEqual([]);
  });
});

describe('the id of a cell', () => {
  test('is its field behind its tenant, and tells all parts of the key apart', () => {
    const cell = { tenant: 'a', meter: 'm@1', minute: 12, group: '["x"]' };
    expect(fieldOf(cell)).toBe('m@1\x0012\x00["x"]');
    expect(cellId(cell)).toBe(`a\0${fieldOf(cell)}`);
    const others = [{ tenant: 'b' }, { meter: 'm@12' }, { minute: 1 }, { group: '[]' }].map((part) => ({
      ...cell,
      ...part,
    }));
    expect(new Set([cell, ...others].map(cellId)).size).toBe(5);
  });
});
