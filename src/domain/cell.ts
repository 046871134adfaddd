/** Cells: what is kept of a (tenant, meter@version, minute, group), and how two of them become one. */

export type Aggregation = 'sum' | 'count' | 'min' | 'max' | 'average' | 'latest';

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
  /** Orders `latest`: printable, greater is later. Empty for other aggregations. */
  readonly order: string;
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
}

export interface CellSelector {
  readonly tenant?: string;
  readonly meter?: string;
  /** [from, to) in minutes since 1970. */
  readonly fromMinute?: number;
  readonly toMinute?: number;
}

export type Accumulators = Pick<Cell, 'count' | 'sum' | 'min' | 'max' | 'latest'>;

export const EMPTY: Accumulators = { count: 0, sum: 0n, min: undefined, max: undefined, latest: undefined };

/** The accumulators of a single contribution. */
export function accumulatorsOf({ aggregation, value, order }: Contribution): Accumulators {
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
  }
}

const least = (a: bigint | undefined, b: bigint | undefined): bigint | undefined =>
  a === undefined || (b !== undefined && b < a) ? b : a;
const greatest = (a: bigint | undefined, b: bigint | undefined): bigint | undefined =>
  a === undefined || (b !== undefined && b > a) ? b : a;
const later = (a: Latest | undefined, b: Latest | undefined): Latest | undefined =>
  a === undefined || (b !== undefined && b.order > a.order) ? b : a;

/** Associative and commutative, with EMPTY as its zero: batch and speed, segment and segment merge in any order. */
export const mergeAccumulators = (a: Accumulators, b: Accumulators): Accumulators => ({
  count: a.count + b.count,
  sum: a.sum + b.sum,
  min: least(a.min, b.min),
  max: greatest(a.max, b.max),
  latest: later(a.latest, b.latest),
});

/** One string for a cell's key within its tenant. Meter keys and groups hold no NUL. */
export const fieldOf = ({ meter, minute, group }: Omit<CellKey, 'tenant'>): string =>
  `${meter}\0${String(minute)}\0${group}`;
export const cellId = (key: CellKey): string => `${key.tenant}\0${fieldOf(key)}`;

/** Folds contributions into cells, in the order of their ids, so that all who touch the same rows do it in one order. */
export function foldCells(contributions: Iterable<Contribution>): Cell[] {
  const cells = new Map<string, Cell>();
  for (const c of contributions) {
    const id = cellId(c);
    const { tenant, meter, minute, group } = c;
    const sum = mergeAccumulators(cells.get(id) ?? EMPTY, accumulatorsOf(c));
    cells.set(id, { tenant, meter, minute, group, ...sum });
  }
  return [...cells].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, cell]) => cell);
}
