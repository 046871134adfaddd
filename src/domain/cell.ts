/** Cells: what is kept of a (tenant, meter@version, minute, group), and how two of them become one. */
import { type Distinct, DistinctBuilder, distinctOf, mergeDistinct } from './distinct.ts';
import { addReading, mergeReadings, type Reading, type Readings, readingsOf } from './gauge.ts';

export const AGGREGATIONS = [
  'sum',
  'count',
  'min',
  'max',
  'average',
  'latest',
  'unique_count',
  'time_weighted_sum',
] as const;
export type Aggregation = (typeof AGGREGATIONS)[number];

export interface CellKey {
  readonly tenant: string;
  /** `key@version`. */
  readonly meter: string;
  /** Minutes since 1970. */
  readonly minute: number;
  /** JSON array of the group values in the order of the meter's `group_by`; `[]` without. */
  readonly group: string;
}

/** What one event adds to one cell. `value` is a scaled integer (12 fractional digits). */
export interface Contribution extends CellKey {
  readonly aggregation: Aggregation;
  readonly value: bigint;
  /** Orders `latest` and the readings of a second: printable, greater is later. Empty for other aggregations. */
  readonly order: string;
  /** Of a unique count: what stands for the value that is counted. */
  readonly member?: string;
  /** Of a gauge: the second of the reading, since 1970. */
  readonly second?: number;
}

export interface Latest {
  readonly order: string;
  readonly value: bigint;
}

/** The accumulators. Which of them mean something follows from the meter's aggregation; the others stay at their zero. */
export interface Cell extends CellKey {
  readonly count: number;
  readonly sum: bigint;
  readonly min: bigint | undefined;
  readonly max: bigint | undefined;
  readonly latest: Latest | undefined;
  readonly distinct?: Distinct | undefined;
  readonly readings?: Readings | undefined;
}

export interface CellSelector {
  readonly tenant?: string;
  readonly meter?: string;
  /** [from, to) in minutes since 1970. */
  readonly fromMinute?: number;
  readonly toMinute?: number;
}

export type Accumulators = Omit<Cell, keyof CellKey>;

export const EMPTY: Accumulators = { count: 0, sum: 0n, min: undefined, max: undefined, latest: undefined };

const readingOf = ({ second = 0, order, value }: Contribution): Reading => ({ second, order, value });

/** The accumulators of a single contribution. */
export function accumulatorsOf(contribution: Contribution): Accumulators {
  const { aggregation, value, order, member = '' } = contribution;
  switch (aggregation) {
    case 'count':
      return { ...EMPTY, count: 1 };
    case 'sum':
    case 'average':
      return { ...EMPTY, count: 1, sum: value };
    case 'min':
      return { ...EMPTY, count: 1, min: value };
    case 'max':
      return { ...EMPTY, count: 1, max: value };
    case 'latest':
      return { ...EMPTY, count: 1, latest: { order, value } };
    case 'unique_count':
      return { ...EMPTY, count: 1, distinct: distinctOf(member) };
    case 'time_weighted_sum':
      return { ...EMPTY, count: 1, readings: readingsOf(readingOf(contribution)) };
  }
}

const least = (a: bigint | undefined, b: bigint | undefined): bigint | undefined =>
  a === undefined || (b !== undefined && b < a) ? b : a;
const greatest = (a: bigint | undefined, b: bigint | undefined): bigint | undefined =>
  a === undefined || (b !== undefined && b > a) ? b : a;
const later = (a: Latest | undefined, b: Latest | undefined): Latest | undefined =>
  a === undefined || (b !== undefined && b.order > a.order) ? b : a;

/** Associative and commutative, with EMPTY as its zero: batch and speed, segment and segment merge in any order. */
export function mergeAccumulators(a: Accumulators, b: Accumulators): Accumulators {
  const merged = {
    count: a.count + b.count,
    sum: a.sum + b.sum,
    min: least(a.min, b.min),
    max: greatest(a.max, b.max),
    latest: later(a.latest, b.latest),
  };
  // Most cells have neither: they stay as small as they are.
  const distinct = mergeDistinct(a.distinct, b.distinct);
  if (distinct !== undefined) return { ...merged, distinct };
  const readings = mergeReadings(a.readings, b.readings);
  return readings === undefined ? merged : { ...merged, readings };
}

/** One string for a cell's key within its tenant. Meter keys and groups hold no NUL. */
export const fieldOf = ({ meter, minute, group }: Omit<CellKey, 'tenant'>): string =>
  `${meter}\0${String(minute)}\0${group}`;
export const cellId = (key: CellKey): string => `${key.tenant}\0${fieldOf(key)}`;

/** A cell that is being summed: a copy an event of a set of members would cost their square. */
class Sum {
  readonly #key: CellKey;
  #sums: Accumulators = EMPTY;
  #members: DistinctBuilder | undefined;
  #readings: Map<number, Reading> | undefined;

  constructor({ tenant, meter, minute, group }: CellKey) {
    this.#key = { tenant, meter, minute, group };
  }

  add(contribution: Contribution): void {
    const { aggregation, member = '' } = contribution;
    if (aggregation === 'unique_count') (this.#members ??= new DistinctBuilder()).add(member);
    else if (aggregation === 'time_weighted_sum')
      addReading((this.#readings ??= new Map<number, Reading>()), readingOf(contribution));
    else {
      this.#sums = mergeAccumulators(this.#sums, accumulatorsOf(contribution));
      return;
    }
    this.#sums = { ...this.#sums, count: this.#sums.count + 1 };
  }

  get cell(): Cell {
    const [members, readings] = [this.#members, this.#readings];
    const states = { ...(members && { distinct: members.build() }), ...(readings && { readings }) };
    return { ...this.#key, ...this.#sums, ...states };
  }
}

/** Folds contributions into cells, in the order of their ids, so that all who touch the same rows do it in one order. */
export function foldCells(contributions: Iterable<Contribution>): Cell[] {
  const sums = new Map<string, Sum>();
  for (const c of contributions) {
    const id = cellId(c);
    const sum = sums.get(id) ?? new Sum(c);
    sums.set(id, sum);
    sum.add(c);
  }
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, sum]) => sum.cell);
}
