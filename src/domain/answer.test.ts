import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AnswerRow, type AnswerShape, combine, type GroupFilter, matchesGroup, windowOf } from './answer.ts';
import { type Aggregation, type Cell, type Contribution, EMPTY, foldCells } from './cell.ts';
import { formatDecimal, SCALE } from './decimal.ts';
import { memberOf } from './distinct.ts';
import type { Meter } from './meter.ts';

/** Gauges are in answer-gauge.test.ts: their values depend on more than a list of values. */
const AGGREGATIONS: readonly Aggregation[] = ['sum', 'count', 'min', 'max', 'average', 'latest', 'unique_count'];
const PROPERTIES = ['model', 'region'];

const meterOf = (aggregation: Aggregation, groupBy: readonly string[] = PROPERTIES): Meter => ({
  ...{ key: 'm', eventType: 'e', aggregation, value: 'quantity', groupBy, filter: new Map(), unit: null },
  ...{ holdMinutes: 0, version: 1 },
});

/** One measured event: what a naive recount needs, and the side that holds it. */
interface Fact {
  readonly minute: number;
  readonly group: readonly (string | null)[];
  readonly value: bigint;
  readonly side: 'batch' | 'live';
}
const text = fc.constantFrom('a', 'b', 'é"', null);
const fact: fc.Arbitrary<Fact> = fc.record({
  minute: fc.integer({ min: -5, max: 45 }),
  group: fc.tuple(text, text),
  value: fc.oneof(fc.bigInt({ min: -9n, max: 9n }), fc.bigInt({ min: -(10n ** 38n), max: 10n ** 38n })),
  side: fc.constantFrom('batch' as const, 'live' as const),
});

const allowed = fc.uniqueArray(fc.constantFrom('a', 'b', 'é"', 'unknown')).map((values) => new Set(values));
const filter: fc.Arbitrary<GroupFilter> = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...PROPERTIES), allowed), { selector: ([name]) => name, maxLength: 2 })
  .map((entries) => new Map(entries));
const shapeOf = (aggregation: Aggregation): fc.Arbitrary<AnswerShape> =>
  fc.record({
    meter: fc.constant(meterOf(aggregation)),
    edges: fc
      .uniqueArray(fc.integer({ min: 0, max: 40 }), { minLength: 2, maxLength: 6 })
      .map((edges) => edges.sort((a, b) => a - b)),
    groupBy: fc.shuffledSubarray(PROPERTIES),
    filter: fc.oneof(fc.constant<GroupFilter>(new Map()), filter),
    until: fc.constant(0),
  });

const contribution = ({ minute, group, value }: Fact, n: number, { aggregation }: Meter): Contribution => ({
  ...{ tenant: 't', meter: 'm@1', minute, group: JSON.stringify(group), aggregation, value },
  order: String(n).padStart(4, '0'),
  ...(aggregation === 'unique_count' ? { member: memberOf(String(value)) } : {}),
});
const cellsOf = (facts: readonly Fact[], { meter }: AnswerShape, side?: Fact['side']): Cell[] =>
  foldCells(facts.flatMap((f, n) => (side === undefined || f.side === side ? [contribution(f, n, meter)] : [])));

const floorDivide = (a: bigint, b: bigint): bigint => a / b - (a % b < 0n ? 1n : 0n);
/** Half up by the floor, then one down from where a tie made it odd. */
function nearest(sum: bigint, n: bigint): bigint {
  const up = floorDivide(2n * sum + n, 2n * n);
  return (2n * sum + n) % (2n * n) === 0n && up % 2n !== 0n ? up - 1n : up;
}

/** The value of a window from the list of its values, in the order of the log. */
function valueOf(aggregation: Aggregation, values: readonly bigint[]): string {
  const sum = values.reduce((a, b) => a + b, 0n);
  const sorted = [...values].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  switch (aggregation) {
    case 'sum':
      return formatDecimal(sum);
    case 'count':
      return `${values.length}`;
    case 'average':
      return formatDecimal(nearest(sum, BigInt(values.length)));
    case 'min':
      return formatDecimal(sorted[0]!);
    case 'max':
      return formatDecimal(sorted.at(-1)!);
    case 'latest':
      return formatDecimal(values.at(-1)!);
    case 'unique_count':
      return `${new Set(values).size}`;
    case 'time_weighted_sum':
      throw new RangeError('not a function of the values alone');
  }
}

const passes = ({ group }: Fact, filter: GroupFilter): boolean =>
  PROPERTIES.every((name, n) => !filter.has(name) || filter.get(name)!.has(group[n] ?? '(none)'));

/** Every window times every group that occurs; what has no events has no row. */
function recount(facts: readonly Fact[], { meter, edges, groupBy, filter }: AnswerShape): AnswerRow[] {
  const groupOf = ({ group }: Fact): string => JSON.stringify(groupBy.map((name) => group[PROPERTIES.indexOf(name)]));
  const groups = [...new Set(facts.map(groupOf))].sort();
  return edges.slice(1).flatMap((end, n) => {
    const start = edges[n]!;
    const inside = facts.filter((f) => start <= f.minute && f.minute < end && passes(f, filter));
    return groups.flatMap((group) => {
      const values = inside.filter((f) => groupOf(f) === group).map((f) => f.value);
      const names = JSON.parse(group) as (string | null)[];
      const row = {
        start,
        end,
        count: values.length,
        group: Object.fromEntries(groupBy.map((name, i) => [name, names[i]!])),
      };
      return values.length === 0 ? [] : [{ ...row, value: valueOf(meter.aggregation, values) }];
    });
  });
}

describe.each(AGGREGATIONS)('an answer of %s', (aggregation) => {
  const facts = fc.array(fact, { maxLength: 40 });

  test('is a recount of all events, however they lie in batch and live cells', () => {
    fc.assert(
      fc.property(facts, shapeOf(aggregation), (facts, shape) => {
        const [batch, live] = [cellsOf(facts, shape, 'batch'), cellsOf(facts, shape, 'live')];
        const rows = recount(facts, shape);
        expect(combine(batch, live, shape)).toEqual(rows);
        expect(combine(live, batch, shape)).toEqual(rows);
        expect(combine([], cellsOf(facts, shape), shape)).toEqual(rows);
      }),
    );
  });

  test('does not depend on the order of the cells', () => {
    const shuffled = facts.chain((facts) =>
      fc.tuple(fc.constant(facts), fc.shuffledSubarray([...facts.keys()], { minLength: facts.length })),
    );
    fc.assert(
      fc.property(shuffled, shapeOf(aggregation), ([facts, order], shape) => {
        const cells = order.flatMap((n) => foldCells([contribution(facts[n]!, n, shape.meter)]));
        expect(combine(cells, [], shape)).toEqual(recount(facts, shape));
      }),
    );
  });
});

describe('an answer', () => {
  const cell = (minute: number, part: Partial<Cell>): Cell => ({
    tenant: 't',
    meter: 'm@1',
    minute,
    group: '[]',
    ...EMPTY,
    ...part,
  });
  const shape = (aggregation: Aggregation): AnswerShape => ({
    ...{ meter: meterOf(aggregation, []), edges: [0, 10, 20], groupBy: [], filter: new Map(), until: 0 },
  });

  test('has rows of both sides, sorted by window, and none for windows without usage', () => {
    const rows = combine(
      [cell(12, { count: 1, sum: SCALE }), cell(15, EMPTY)],
      [cell(19, { count: 2, sum: SCALE / 2n })],
      shape('sum'),
    );
    expect(rows).toEqual([{ start: 10, end: 20, count: 3, value: '1.5', group: {} }]);
    expect(combine([cell(15, EMPTY)], [], shape('average'))).toEqual([]);
  });

  test('leaves out what lies before the first edge, on the last or behind it', () => {
    const outside = [-1, 20, 21].map((minute) => cell(minute, { count: 1, sum: SCALE }));
    expect(combine(outside, outside, shape('sum'))).toEqual([]);
  });

  test.each(['min', 'max', 'latest'] as const)('of %s is zero where a counted cell holds no value', (aggregation) => {
    expect(combine([cell(1, { count: 1 })], [], shape(aggregation))).toMatchObject([{ count: 1, value: '0' }]);
  });

  test('names null for a property that the meter does not group by', () => {
    const rows = combine([cell(1, { count: 1 })], [], { ...shape('count'), groupBy: ['planet'] });
    expect(rows).toMatchObject([{ group: { planet: null } }]);
  });
});

describe('a group filter', () => {
  const meter = meterOf('sum');
  const model = (...values: string[]): GroupFilter => new Map([['model', new Set(values)]]);

  test('wants one of the values of every property it names', () => {
    expect(matchesGroup(meter, ['a', 'x'], model('a', 'b'))).toBe(true);
    expect(matchesGroup(meter, ['c', 'x'], model('a', 'b'))).toBe(false);
    expect(matchesGroup(meter, ['a', 'x'], new Map([...model('a'), ['region', new Set(['y'])]]))).toBe(false);
    expect(matchesGroup(meter, ['a', 'x'], new Map())).toBe(true);
  });

  test('matches neither null nor a property that is not there', () => {
    expect(matchesGroup(meter, [null, 'x'], model('null'))).toBe(false);
    expect(matchesGroup(meter, ['a', 'x'], new Map([['planet', new Set(['a'])]]))).toBe(false);
  });
});

describe('the window of a minute', () => {
  const edges = fc
    .uniqueArray(fc.integer({ min: -50, max: 50 }), { maxLength: 12 })
    .map((list) => list.sort((a, b) => a - b));

  test('is the one that a search from the left finds', () => {
    fc.assert(
      fc.property(edges, fc.integer({ min: -60, max: 60 }), (edges, minute) => {
        const found = edges.findIndex((edge, n) => edge <= minute && minute < (edges[n + 1] ?? -Infinity));
        expect(windowOf(edges, minute)).toBe(found);
      }),
      { numRuns: 500 },
    );
  });

  test('holds its start and not its end', () => {
    expect([-1, 0, 9, 10, 19, 20].map((minute) => windowOf([0, 10, 20], minute))).toEqual([-1, 0, 0, 1, 1, -1]);
    expect(windowOf([], 0)).toBe(-1);
    expect(windowOf([], -1)).toBe(-1);
    expect(windowOf([7], 7)).toBe(-1);
    expect(windowOf([7, 7], 7)).toBe(-1);
  });
});
