/** Recount against stores: per tenant, type (or meter) and hour, archive against batch against merged. */
import type { Aggregation } from '../domain/cell.ts';
import { divideHalfEven, formatDecimal } from '../domain/decimal.ts';
import { measure, type MeterSet } from '../domain/meter.ts';
import type { Finding, Winner } from './recount.ts';

export interface Difference {
  readonly kind: 'batch' | 'merged';
  readonly tenant: string;
  /** The event type (batch) or the meter (merged). */
  readonly name: string;
  /** Start of the hour, ISO 8601. */
  readonly hour: string;
  readonly expected: string | null;
  readonly found: string | null;
}

export interface VerifyReport {
  readonly ok: boolean;
  /** First copies counted: below the cut, and all that the answer reaches. */
  readonly archived: number;
  readonly merged: number;
  readonly compared: { readonly batch: number; readonly merged: number };
  readonly findings: readonly Finding[];
  /** At most 100; `differing` counts them all. */
  readonly differences: readonly Difference[];
  readonly differing: number;
}

/** What a store holds, as text: `value (count)`. */
export type Held = Map<string, string>;

const MICROS_PER_HOUR = 3_600_000_000;
const MOST_SHOWN = 100;

export const idOf = (tenant: string, name: string, hour: number, group = '[]'): string =>
  JSON.stringify([tenant, name, hour, group]);
export const shown = (value: string, count: number): string => `${value} (${count})`;

interface Tally {
  readonly aggregation: Aggregation;
  count: number;
  sum: bigint;
  least: bigint;
  most: bigint;
  order: string;
  last: bigint;
}

/** The naive form of every aggregation: one addition or comparison an event. */
function add(tally: Tally | undefined, aggregation: Aggregation, value: bigint, order: string): Tally {
  if (tally === undefined) return { aggregation, count: 1, sum: value, least: value, most: value, order, last: value };
  tally.count += 1;
  tally.sum += value;
  if (value < tally.least) tally.least = value;
  if (value > tally.most) tally.most = value;
  if (order > tally.order) [tally.order, tally.last] = [order, value];
  return tally;
}

function valueOf({ aggregation, count, sum, least, most, last }: Tally): string {
  const value = { sum, min: least, max: most, latest: last, count: 0n, average: divideHalfEven(sum, count) }[aggregation];
  return aggregation === 'count' ? String(count) : formatDecimal(value);
}

/** Collects first copies into what the batch view and the merged answer must hold. */
export class Expectation {
  readonly #meters: MeterSet;
  readonly #hours = new Map<string, Tally>();
  readonly #merged = new Map<string, Tally>();
  archived = 0;
  merged = 0;
  /** Hours before it are not in the batch view any more. */
  usageFrom = 0;

  constructor(meters: MeterSet) {
    this.#meters = meters;
  }

  count({ event, lineage, position, isPublished }: Winner): void {
    const hour = Math.floor(event.timestamp / MICROS_PER_HOUR);
    this.merged += 1;
    if (isPublished) {
      this.archived += 1;
      const id = idOf(event.tenant, event.type, hour);
      this.#hours.set(id, add(this.#hours.get(id), 'sum', event.quantity, ''));
    }
    const place = { depth: lineage.depth, lineage: lineage.id, position };
    for (const c of measure(event, place, this.#meters.forType(event.type)).contributions) {
      const id = idOf(c.tenant, c.meter, hour, c.group);
      this.#merged.set(id, add(this.#merged.get(id), c.aggregation, c.value, c.order));
    }
  }

  /** By tenant, event type and hour. */
  get hours(): Held {
    return since(held(this.#hours), this.usageFrom);
  }
  /** By tenant, meter@version, hour and group. */
  get answers(): Held {
    return held(this.#merged);
  }
}

const held = (tallies: ReadonlyMap<string, Tally>): Held =>
  new Map([...tallies].map(([id, tally]) => [id, shown(valueOf(tally), tally.count)]));

const since = (all: Held, hour: number): Held =>
  hour === 0 ? all : new Map([...all].filter(([id]) => (JSON.parse(id) as [string, string, number])[2] >= hour));

function* differencesOf(kind: Difference['kind'], expected: Held, found: Held): Generator<Difference> {
  for (const id of new Set([...expected.keys(), ...found.keys()])) {
    const [want, have] = [expected.get(id), found.get(id)];
    if (want === have) continue;
    const [tenant, name, hour, group] = JSON.parse(id) as [string, string, number, string];
    const at = new Date((hour * MICROS_PER_HOUR) / 1000).toISOString();
    yield {
      kind,
      tenant,
      name: group === '[]' ? name : `${name} ${group}`,
      hour: at,
      expected: want ?? null,
      found: have ?? null,
    };
  }
}

export function compare(expected: Expectation, hours: Held, answers: Held, findings: readonly Finding[]): VerifyReport {
  const differences = [
    ...differencesOf('batch', expected.hours, since(hours, expected.usageFrom)),
    ...differencesOf('merged', expected.answers, answers),
  ];
  return {
    ok: findings.length === 0 && differences.length === 0,
    archived: expected.archived,
    merged: expected.merged,
    compared: { batch: hours.size, merged: answers.size },
    findings,
    differences: differences.slice(0, MOST_SHOWN),
    differing: differences.length,
  };
}
