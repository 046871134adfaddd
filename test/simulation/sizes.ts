/**
 * Sizes of the simulated world. Small, so that splits, segment ends, epochs and duplicates meet often. Imports nothing:
 * the oracle reads them too.
 */

/** One unit of the simulated clock, ms: half of the future bound, which is fixed by the product. */
export const UNIT_MS = 150_000;
export const FUTURE_MS = 2 * UNIT_MS;
export const EPOCH_MS = 5 * UNIT_MS;
/** How long keys are kept, where they are not for ever. */
export const KEPT_MS = 2 * UNIT_MS;
const AGE_MS = 5 * UNIT_MS;
/** What a query's windows are made of, minutes. */
export const WINDOW_MINUTES = 20;
/** A failover loses at most this many of the last writes of a bucket. */
export const REPLICATION_LAG = 6;
export const BUCKETS = 2;
/** Points of the broker's ring of keys. */
export const POINTS = 6;
export const MOST_LINEAGES = 9;

export interface TenantPlace {
  readonly point: number;
  readonly bucket: number;
}
/** Each of the two first lineages holds tenants of both buckets. */
export const TENANTS: ReadonlyMap<string, TenantPlace> = new Map([
  ['ada', { point: 0, bucket: 1 }],
  ['bob', { point: 2, bucket: 0 }],
  ['ivy', { point: 3, bucket: 1 }],
  ['eve', { point: 4, bucket: 0 }],
  ['cyd', { point: 5, bucket: 1 }],
]);

/** What the tenant that is spread has instead of its own place, from the step on. */
export const SPREAD_TENANT = 'ada';
export const SPREAD_KEYS = 2;
export const PLACES: ReadonlyMap<string, TenantPlace> = new Map([
  ...TENANTS,
  ['ada#0', { point: 5, bucket: 0 }],
  ['ada#1', { point: 1, bucket: 1 }],
]);

export interface Limits {
  readonly records: number;
  readonly bytes: number;
  readonly ageMs: number;
  readonly idleMs: number;
}
const limits = (records: number, bytes: number): Limits => ({ records, bytes, ageMs: AGE_MS, idleMs: EPOCH_MS });
export const FIRST_FORMAT = 3;
/** Format 1 closes by bytes, mostly after two records. None that compresses: threads of a library are not under the scheduler. */
export const FORMATS: ReadonlyMap<number, Limits> = new Map([
  [2, limits(2, 10_000)],
  [3, limits(3, 10_000)],
  [4, limits(4, 10_000)],
  [1, limits(9, 100)],
]);

export const EVENT_TYPE = 'call';
export type Kind = 'sum' | 'count' | 'min' | 'max' | 'latest';
const KINDS: readonly Kind[] = ['sum', 'count', 'min', 'max', 'latest'];
/** Meters of the one event type, by key, in their first version. */
export const METERS: ReadonlyMap<string, Kind> = new Map([
  ['calls', 'sum'],
  ['times', 'count'],
  ['least', 'min'],
  ['most', 'max'],
  ['last', 'latest'],
]);

/** Each version of a key has another aggregation than the one before. `key@version` -> how it sums up. */
export function kindOf(meter: string): Kind | undefined {
  const [key = '', version = '1'] = meter.split('@');
  const first = METERS.get(key);
  return first && KINDS[(KINDS.indexOf(first) + Number(version) - 1) % KINDS.length];
}

/** Offsets are printed with 20 digits. */
export const printed = (offset: number): string => String(offset).padStart(20, '0');
export const behind = (position: string): string => printed(Number(position) + 1);
export const END = 'END';
