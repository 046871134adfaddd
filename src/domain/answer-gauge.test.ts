import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AnswerRow, type AnswerShape, combine, type GroupFilter } from './answer.ts';
import { type Cell, type Contribution, foldCells } from './cell.ts';
import { formatDecimal, SCALE } from './decimal.ts';
import { hoursOfSeconds } from './gauge.ts';
import { OTHER } from './groups.ts';
import type { Meter } from './meter.ts';

const PROPERTIES = ['model', 'region'];
const HOLD_MINUTES = 2;
const METER: Meter = {
  ...{ key: 'disk', eventType: 'disk', aggregation: 'time_weighted_sum', value: 'quantity', groupBy: PROPERTIES },
  ...{ filter: new Map(), unit: 'GB-hours', holdMinutes: HOLD_MINUTES, version: 1 },
};

/** A reading of a series: those of one tenant and one group. */
interface Fact {
  readonly tenant: string;
  readonly group: readonly (string | null)[];
  readonly second: number;
  readonly value: bigint;
  readonly side: 'batch' | 'live';
}
const text = fc.constantFrom('a', 'b', null);
const fact: fc.Arbitrary<Fact> = fc.record({
  tenant: fc.constantFrom('t', 'u'),
  group: fc.tuple(text, text),
  second: fc.integer({ min: 0, max: 600 }),
  value: fc.bigInt({ min: -5n, max: 50n }).map((n) => n * SCALE),
  side: fc.constantFrom('batch' as const, 'live' as const),
});
const facts = fc.array(fact, { maxLength: 25 });
const filters: fc.Arbitrary<GroupFilter> = fc.constantFrom(
  new Map(),
  new Map([['model', new Set(['a'])]]),
  new Map([['region', new Set(['a', 'b'])]]),
);
const shapes: fc.Arbitrary<AnswerShape> = fc.record({
  meter: fc.constant(METER),
  edges: fc
    .uniqueArray(fc.integer({ min: 0, max: 10 }), { minLength: 2, maxLength: 5 })
    .map((edges) => edges.sort((a, b) => a - b)),
  groupBy: fc.shuffledSubarray(PROPERTIES),
  filter: filters,
  until: fc.integer({ min: 0, max: 700 }),
});

const contribution = ({ tenant, group, second, value }: Fact, n: number): Contribution => ({
  ...{ tenant, meter: 'disk@1', minute: Math.floor(second / 60), group: JSON.stringify(group) },
  ...{ aggregation: 'time_weighted_sum', value, order: String(n).padStart(4, '0'), second },
});
/** Cells by the minute, or rolled up into one. */
const cellsOf = (facts: readonly Fact[], side: Fact['side']): Cell[] => {
  const own = facts.flatMap((f, n) => (f.side === side ? [contribution(f, n)] : []));
  return foldCells(side === 'live' ? own : own.map((one) => ({ ...one, minute: 0 })));
};

/** What holds at a second: the last reading of the series, for two minutes. */
function heldAt(series: readonly Fact[], second: number): bigint {
  let last: Fact | undefined;
  for (const f of series) if (f.second <= second && f.second >= (last?.second ?? 0)) last = f;
  return last !== undefined && second < last.second + HOLD_MINUTES * 60 ? last.value : 0n;
}

function recount(facts: readonly Fact[], { edges, groupBy, filter, until }: AnswerShape): AnswerRow[] {
  const passing = facts.filter(({ group }) =>
    PROPERTIES.every((name, n) => !filter.has(name) || filter.get(name)!.has(group[n] ?? '(none)')),
  );
  const seriesOf = ({ tenant, group }: Fact): string => JSON.stringify([tenant, group]);
  const groupOf = ({ group }: Fact): string => JSON.stringify(groupBy.map((name) => group[PROPERTIES.indexOf(name)]));
  return edges.slice(1).flatMap((end, n) =>
    [...new Set(passing.map(groupOf))].sort().flatMap((group) => {
      const start = edges[n]!;
      const inGroup = passing.filter((f) => groupOf(f) === group);
      let [sum, count] = [0n, 0];
      for (const id of new Set(inGroup.map(seriesOf))) {
        const series = inGroup.filter((f) => seriesOf(f) === id);
        for (let s = start * 60; s < Math.min(end * 60, until); s += 1) sum += heldAt(series, s);
        count += new Set(series.map((f) => f.second).filter((s) => s >= start * 60 && s < end * 60)).size;
      }
      const names = JSON.parse(group) as (string | null)[];
      const row = { start, end, count, value: formatDecimal(hoursOfSeconds(sum)) };
      return count === 0 && sum === 0n
        ? []
        : [{ ...row, group: Object.fromEntries(groupBy.map((name, i) => [name, names[i]!])) }];
    }),
  );
}

describe('an answer of a gauge', () => {
  test('integrates each series on its own, second by second, and adds them up by group', () => {
    fc.assert(
      fc.property(facts, shapes, (facts, shape) => {
        const [batch, live] = [cellsOf(facts, 'batch'), cellsOf(facts, 'live')];
        const rows = recount(facts, shape);
        expect(combine(batch, live, shape)).toEqual(rows);
        expect(combine(live, batch.toReversed(), shape)).toEqual(rows);
      }),
      { numRuns: 150 },
    );
  });

  const shape: AnswerShape = {
    ...{ meter: METER, edges: [0, 60, 120, 180], groupBy: [], filter: new Map(), until: 1e6 },
  };
  const day: Meter = { ...METER, holdMinutes: 1440 };
  const read = (minute: number, value: number, change: Partial<Fact> = {}): Cell[] =>
    foldCells([
      contribution(
        { tenant: 't', group: ['a', 'b'], second: minute * 60, value: BigInt(value) * SCALE, side: 'live', ...change },
        minute,
      ),
    ]);

  test('has a row for a window through which an earlier reading held, with nothing counted in it', () => {
    expect(combine(read(30, 4), [], { ...shape, meter: day })).toEqual([
      { start: 0, end: 60, count: 1, value: '2', group: {} },
      { start: 60, end: 120, count: 0, value: '4', group: {} },
      { start: 120, end: 180, count: 0, value: '4', group: {} },
    ]);
  });

  test('reaches into the range from a reading before it', () => {
    const rows = combine(read(30, 4), [], { ...shape, meter: day, edges: [60, 120] });
    expect(rows).toEqual([{ start: 60, end: 120, count: 0, value: '4', group: {} }]);
  });

  test('counts up to where it reaches: a reading from behind there is counted, and weighs nothing', () => {
    const cells = [...read(30, 4), ...read(90, 100)];
    expect(combine(cells, [], { ...shape, meter: day, until: 75 * 60 })).toEqual([
      { start: 0, end: 60, count: 1, value: '2', group: {} },
      { start: 60, end: 120, count: 1, value: '1', group: {} },
    ]);
  });

  test('does not let a tenant or a group end the reading of another', () => {
    const cells = [read(0, 1), read(30, 10, { tenant: 'u' }), read(30, 100, { group: ['a', null] }), read(30, 2)].flat();
    const [row] = combine(cells, [], { ...shape, meter: day });
    expect(row).toEqual({ start: 0, end: 60, count: 4, value: '56.5', group: {} });
  });

  test('has no row for a series at zero through which nothing was read', () => {
    expect(combine(read(30, 0), [], { ...shape, meter: day })).toMatchObject([{ start: 0, count: 1, value: '0' }]);
  });

  test('keeps what lies beyond the bound on groups as one series of its own', () => {
    const beyond = read(0, 3).map((cell) => ({ ...cell, group: OTHER }));
    expect(combine([...beyond, ...read(0, 1)], [], { ...shape, edges: [0, 60], groupBy: ['model'], meter: day })).toEqual([
      { start: 0, end: 60, count: 1, value: '3', group: { model: 'other' }, other: true },
      { start: 0, end: 60, count: 1, value: '1', group: { model: 'a' } },
    ]);
  });
});
