/** From cells to the rows of an answer: batch windows and live minutes become one, group by group. */
import { type Accumulators, type Aggregation, type Cell, EMPTY, mergeAccumulators } from './cell.ts';
import { divideHalfEven, formatDecimal } from './decimal.ts';
import type { Meter } from './meter.ts';

/** Property of the meter's `group_by` -> the values asked for. */
export type GroupFilter = ReadonlyMap<string, ReadonlySet<string>>;

export interface AnswerRow {
  /** [start, end), minutes since 1970. */
  readonly start: number;
  readonly end: number;
  readonly count: number;
  /** A decimal in its shortest plain form. */
  readonly value: string;
  readonly group: Readonly<Record<string, string | null>>;
}

export interface AnswerShape {
  readonly meter: Meter;
  readonly edges: readonly number[];
  readonly groupBy: readonly string[];
  readonly filter: GroupFilter;
}

type GroupValues = readonly (string | null)[];

function valueOf(aggregation: Aggregation, a: Accumulators): string {
  switch (aggregation) {
    case 'sum':
      return formatDecimal(a.sum);
    case 'count':
      return String(a.count);
    case 'average':
      return formatDecimal(divideHalfEven(a.sum, a.count));
    case 'min':
      return formatDecimal(a.min ?? 0n);
    case 'max':
      return formatDecimal(a.max ?? 0n);
    case 'latest':
      return formatDecimal(a.latest?.value ?? 0n);
  }
}

/** The window that holds a minute, by binary search; -1 outside the range. */
export function windowOf(edges: readonly number[], minute: number): number {
  let [low, high] = [0, edges.length - 1];
  if (minute < (edges[low] ?? 0) || minute >= (edges[high] ?? 0)) return -1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (minute < (edges[middle] ?? 0)) high = middle;
    else low = middle;
  }
  return low;
}

/** Whether a cell's group has, for every property of the filter, one of the values asked for. */
export function matchesGroup(meter: Meter, values: GroupValues, filter: GroupFilter): boolean {
  for (const [name, allowed] of filter) {
    const value = values[meter.groupBy.indexOf(name)];
    if (value === undefined || value === null || !allowed.has(value)) return false;
  }
  return true;
}

interface Row {
  readonly window: number;
  readonly group: GroupValues;
  sum: Accumulators;
}

/** Merges cells into rows, sorted by window and group; only windows with usage have one. */
export function combine(batch: readonly Cell[], live: readonly Cell[], shape: AnswerShape): AnswerRow[] {
  const rows = new Map<string, Row>();
  for (const cells of [batch, live]) for (const cell of cells) addTo(rows, cell, shape);
  return [...rows.values()]
    .filter(({ sum }) => sum.count > 0)
    .sort(byWindowAndGroup)
    .map((row) => answerRow(row, shape));
}

function addTo(rows: Map<string, Row>, cell: Cell, { meter, edges, groupBy, filter }: AnswerShape): void {
  const window = windowOf(edges, cell.minute);
  if (window < 0) return;
  const values = cell.group === '[]' ? [] : (JSON.parse(cell.group) as GroupValues);
  if (!matchesGroup(meter, values, filter)) return;
  const group = groupBy.map((name) => values[meter.groupBy.indexOf(name)] ?? null);
  const id = `${String(window)} ${JSON.stringify(group)}`;
  const row = rows.get(id);
  if (row === undefined) rows.set(id, { window, group, sum: mergeAccumulators(EMPTY, cell) });
  else row.sum = mergeAccumulators(row.sum, cell);
}

const byWindowAndGroup = (a: Row, b: Row): number =>
  a.window - b.window || (JSON.stringify(a.group) < JSON.stringify(b.group) ? -1 : 1);

const answerRow = ({ window, group, sum }: Row, { meter, edges, groupBy }: AnswerShape): AnswerRow => ({
  start: edges[window] ?? 0,
  end: edges[window + 1] ?? 0,
  count: sum.count,
  value: valueOf(meter.aggregation, sum),
  group: Object.fromEntries(groupBy.map((name, n) => [name, group[n] ?? null])),
});
