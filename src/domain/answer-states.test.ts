import { describe, expect, test } from 'vitest';
import { type AnswerShape, combine, matchesGroup, valueOf } from './answer.ts';
import { type Aggregation, type Cell, EMPTY, foldCells } from './cell.ts';
import { SCALE } from './decimal.ts';
import { countDistinct, memberOf, RELATIVE_ERROR } from './distinct.ts';
import { OTHER } from './groups.ts';
import type { Meter } from './meter.ts';

const meterOf = (aggregation: Aggregation, groupBy: readonly string[] = []): Meter => ({
  ...{ key: 'm', eventType: 'e', aggregation, value: ['user'], groupBy, filter: new Map() },
  ...{ unit: null, holdMinutes: 0, version: 1 },
});
const shapeOf = (meter: Meter, change: Partial<AnswerShape> = {}): AnswerShape => ({
  ...{ meter, edges: [0, 10, 20], groupBy: [], filter: new Map(), until: 0 },
  ...change,
});

describe('an answer of unique counts', () => {
  /** The members from one number up to another, each seen once in this minute. */
  const seen = (minute: number, from: number, to: number, tenant = 't'): Cell[] =>
    foldCells(
      Array.from({ length: to - from }, (_, n) => ({
        ...{ tenant, meter: 'm@1', minute, group: '[]', aggregation: 'unique_count' as const },
        ...{ value: 0n, order: '', member: memberOf(`user ${String(from + n)}`) },
      })),
    );
  const shape = shapeOf(meterOf('unique_count'));

  test('is exact up to a thousand, and says so by saying nothing of an error', () => {
    expect(combine(seen(1, 0, 600), seen(2, 0, 600), shape)).toEqual([
      { start: 0, end: 10, count: 1200, value: '600', group: {} },
    ]);
    expect(combine(seen(1, 0, 600), seen(2, 400, 1000), shape)).toEqual([
      { start: 0, end: 10, count: 1200, value: '1000', group: {} },
    ]);
  });

  test('is an estimate beyond, of the whole union, and names its relative standard error', () => {
    const [row, ...rest] = combine(seen(1, 0, 600), seen(2, 401, 2000, 'u'), shape);
    expect(rest).toEqual([]);
    expect(row).toMatchObject({ count: 2199, error: RELATIVE_ERROR });
    expect(row?.value).toBe(String(countDistinct(seen(0, 0, 2000)[0]!.distinct!)));
    expect(Math.abs(Number(row?.value) - 2000)).toBeLessThan(5 * Number(RELATIVE_ERROR) * 2000);
  });

  test('says for each window on its own whether it is one', () => {
    const rows = combine([...seen(1, 0, 2), ...seen(11, 0, 1001)], seen(12, 1, 3), shape);
    expect(rows.map(({ start, error }) => [start, error])).toEqual([
      [0, undefined],
      [10, RELATIVE_ERROR],
    ]);
    expect(combine(seen(1, 0, 2), seen(11, 1, 3), { ...shape, edges: [0, 20] })).toMatchObject([{ count: 4, value: '3' }]);
  });

  test('is zero where a counted cell holds no members', () => {
    expect(valueOf('unique_count', EMPTY)).toBe('0');
  });
});

describe('what lies beyond the bound on groups', () => {
  const cell = (group: string, value: bigint, minute = 1): Cell => ({
    ...{ tenant: 't', meter: 'm@1', minute, group },
    ...{ ...EMPTY, count: 1, sum: value * SCALE },
  });
  const meter = meterOf('sum', ['model', 'region']);
  const cells = [cell('["a","x"]', 1n), cell('["other","other"]', 2n), cell(OTHER, 4n), cell('["a","y"]', 8n)];

  test('has a row of its own that says so, apart from a group that happens to have its name', () => {
    const rows = combine(cells, [cell(OTHER, 16n, 2)], shapeOf(meter, { groupBy: ['region', 'model'] }));
    const at = { start: 0, end: 10 };
    expect(rows).toEqual([
      { ...at, count: 2, value: '20', group: { region: 'other', model: 'other' }, other: true },
      { ...at, count: 1, value: '2', group: { region: 'other', model: 'other' } },
      { ...at, count: 1, value: '1', group: { region: 'x', model: 'a' } },
      { ...at, count: 1, value: '8', group: { region: 'y', model: 'a' } },
    ]);
  });

  test('has one also where only some of the properties are asked for', () => {
    const rows = combine(cells, [], shapeOf(meter, { groupBy: ['model'] }));
    expect(rows.map(({ value, group, other }) => [value, group.model, other])).toEqual([
      ['4', 'other', true],
      ['9', 'a', undefined],
      ['2', 'other', undefined],
    ]);
  });

  test('is part of the whole: nothing is lost to it where no group is asked for', () => {
    expect(combine(cells, [], shapeOf(meter))).toEqual([{ start: 0, end: 10, count: 4, value: '15', group: {} }]);
  });

  test('has no value that a filter could ask for', () => {
    const filter = new Map([['model', new Set(['other'])]]);
    expect(combine(cells, [], shapeOf(meter, { filter }))).toMatchObject([{ value: '2' }]);
    expect([matchesGroup(meter, 'other', filter), matchesGroup(meter, 'other', new Map())]).toEqual([false, true]);
  });
});
