/** From cells to the rows of an answer: batch windows and live minutes become one, group by group. */
import { type Accumulators, type Aggregation, type Cell, EMPTY, mergeAccumulators } from './cell.ts';
import { divideHalfEven, formatDecimal } from './decimal.ts';
import { countDistinct, isApproximate, RELATIVE_ERROR } from './distinct.ts';
import { addReading, hoursOfSeconds, integrals, type Reading, type Readings } from './gauge.ts';
import { OTHER } from './groups.ts';
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
  /** The usage of groups beyond the bound on groups; their values are not known. */
  readonly other?: true;
  /** The relative standard error of a value that is an estimate. */
  readonly error?: string;
}

export interface AnswerShape {
  readonly meter: Meter;
  readonly edges: readonly number[];
  readonly groupBy: readonly string[];
  readonly filter: GroupFilter;
  /** How far the answer reaches, seconds since 1970: a gauge counts up to there. */
  readonly until: number;
}

/** `other`: beyond the bound on groups. */
type GroupValues = readonly (string | null)[] | 'other';

/** The value of a row in its shortest form. A gauge's is in `sum`: `combine` has integrated it. */
export function valueOf(aggregation: Aggregation, a: Accumulators): string {
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
    case 'unique_count':
      return a.distinct === undefined ? '0' : String(countDistinct(a.distinct));
    case 'time_weighted_sum':
      return formatDecimal(hoursOfSeconds(a.sum));
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
  if (values === 'other') return filter.size === 0;
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
  const cells =
    shape.meter.aggregation === 'time_weighted_sum' ? integrated([...batch, ...live], shape) : [batch, live].flat();
  for (const cell of cells) addTo(rows, cell, shape);
  return [...rows.values()]
    .filter(({ sum }) => sum.count > 0 || sum.sum !== 0n)
    .sort(byWindowAndGroup)
    .map((row) => answerRow(row, shape));
}

const SECONDS_PER_MINUTE = 60;

/** The series of a gauge, one a group of one tenant, as cells of the windows in which they have usage. */
function integrated(cells: readonly Cell[], { meter: { holdMinutes }, edges, until }: AnswerShape): Cell[] {
  const series = new Map<string, { readonly cell: Cell; readonly readings: Map<number, Reading> }>();
  for (const cell of cells) {
    const id = JSON.stringify([cell.tenant, cell.group]);
    const one = series.get(id) ?? { cell, readings: new Map<number, Reading>() };
    series.set(id, one);
    // Into one map: a copy a cell would cost the square of a long range.
    for (const reading of cell.readings?.values() ?? []) addReading(one.readings, reading);
  }
  const spans = edges.slice(1).map((to, n) => ({
    from: (edges[n] ?? 0) * SECONDS_PER_MINUTE,
    to: to * SECONDS_PER_MINUTE,
  }));
  const holdSeconds = holdMinutes * SECONDS_PER_MINUTE;
  return [...series.values()].flatMap(({ cell: { tenant, meter, group }, readings }) => {
    const counts = readingsIn(edges, readings);
    return integrals(readings, spans, { holdSeconds, until }).flatMap((sum, n) => {
      const [minute, count] = [edges[n] ?? 0, counts[n] ?? 0];
      // A window through which an earlier reading held has usage, too.
      return sum === 0n && count === 0 ? [] : [{ tenant, meter, minute, group, ...EMPTY, count, sum }];
    });
  });
}

/** Readings in each window. */
function readingsIn(edges: readonly number[], readings: Readings): number[] {
  const counts = edges.map(() => 0);
  for (const second of readings.keys()) {
    const window = windowOf(edges, Math.floor(second / SECONDS_PER_MINUTE));
    if (window >= 0) counts[window] = (counts[window] ?? 0) + 1;
  }
  return counts;
}

function addTo(rows: Map<string, Row>, cell: Cell, { meter, edges, groupBy, filter }: AnswerShape): void {
  const window = windowOf(edges, cell.minute);
  if (window < 0) return;
  const values = valuesOf(cell.group);
  if (!matchesGroup(meter, values, filter)) return;
  const group = values === 'other' && groupBy.length > 0 ? values : groupBy.map((name) => namedIn(meter, values, name));
  const id = `${String(window)} ${JSON.stringify(group)}`;
  const row = rows.get(id);
  if (row === undefined) rows.set(id, { window, group, sum: mergeAccumulators(EMPTY, cell) });
  else row.sum = mergeAccumulators(row.sum, cell);
}

const valuesOf = (group: string): GroupValues =>
  group === '[]' ? [] : group === OTHER ? 'other' : (JSON.parse(group) as (string | null)[]);
const namedIn = (meter: Meter, values: GroupValues, name: string): string | null =>
  values === 'other' ? null : (values[meter.groupBy.indexOf(name)] ?? null);

const byWindowAndGroup = (a: Row, b: Row): number =>
  a.window - b.window || (JSON.stringify(a.group) < JSON.stringify(b.group) ? -1 : 1);

const answerRow = ({ window, group, sum }: Row, { meter, edges, groupBy }: AnswerShape): AnswerRow => ({
  start: edges[window] ?? 0,
  end: edges[window + 1] ?? 0,
  count: sum.count,
  value: valueOf(meter.aggregation, sum),
  group: Object.fromEntries(groupBy.map((name, n) => [name, group === 'other' ? 'other' : (group[n] ?? null)])),
  ...(group === 'other' ? { other: true as const } : {}),
  ...(sum.distinct !== undefined && isApproximate(sum.distinct) ? { error: RELATIVE_ERROR } : {}),
});
