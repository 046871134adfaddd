/**
 * Gauges: readings that hold until the next one, weighted by time (GB-hours). What is kept of a cell is its readings, the
 * last of each second, so that late and out-of-order ones merge to the same; the integral is taken when an answer is made.
 */
import { divideHalfEven } from './decimal.ts';

export interface Reading {
  /** Seconds since 1970. */
  readonly second: number;
  /** Decides between readings of one second: printable, greater is later. */
  readonly order: string;
  /** Scaled integer, 12 fractional digits. */
  readonly value: bigint;
}
/** By second. At most 60 a minute. */
export type Readings = ReadonlyMap<number, Reading>;

export const readingsOf = (reading: Reading): Readings => new Map([[reading.second, reading]]);

export function addReading(readings: Map<number, Reading>, reading: Reading): void {
  const known = readings.get(reading.second);
  if (known === undefined || reading.order > known.order) readings.set(reading.second, reading);
}

export function mergeReadings(a: Readings | undefined, b: Readings | undefined): Readings | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  const merged = new Map(a);
  for (const reading of b.values()) addReading(merged, reading);
  return merged;
}

export interface Span {
  /** Seconds since 1970: [from, to). */
  readonly from: number;
  readonly to: number;
}

const SECONDS_PER_HOUR = 3600n;

/**
 * For each span (ascending, without overlap) the integral of the readings, in scaled value-seconds. A reading holds until
 * the next one, at most for `holdSeconds`; nothing is counted from `until` on, which is how far the answer reaches.
 */
export function integrals(
  readings: Readings,
  spans: readonly Span[],
  { holdSeconds, until }: { readonly holdSeconds: number; readonly until: number },
): bigint[] {
  const ordered = [...readings.values()].sort((a, b) => a.second - b.second);
  const sums = spans.map(() => 0n);
  let first = 0;
  ordered.forEach(({ second, value }, n) => {
    const end = Math.min(ordered[n + 1]?.second ?? Infinity, second + holdSeconds, until);
    // Read behind `until`: event times may run ahead of arrivals.
    if (end <= second) return;
    while (first < spans.length && (spans[first]?.to ?? 0) <= second) first += 1;
    for (let at = first; at < spans.length && (spans[at]?.from ?? 0) < end; at += 1) {
      const held = Math.min(end, spans[at]?.to ?? 0) - Math.max(second, spans[at]?.from ?? 0);
      sums[at] = (sums[at] ?? 0n) + value * BigInt(held);
    }
  });
  return sums;
}

/** Value-seconds as value-hours, rounded half to even to 12 digits. */
export const hoursOfSeconds = (valueSeconds: bigint): bigint => divideHalfEven(valueSeconds, SECONDS_PER_HOUR);

/** As text, for stores. Equal readings have equal texts. */
export const encodeReadings = (readings: Readings): string =>
  `R${JSON.stringify([...readings.values()].sort((a, b) => a.second - b.second).map((r) => [r.second, r.order, r.value.toString()]))}`;

/** Throws for what `encodeReadings` cannot have made. */
export function decodeReadings(text: string): Readings {
  if (!text.startsWith('R')) throw new RangeError('readings that cannot be read');
  const rows = JSON.parse(text.slice(1)) as [number, string, string][];
  return new Map(rows.map(([second, order, value]) => [second, { second, order, value: BigInt(value) }]));
}
