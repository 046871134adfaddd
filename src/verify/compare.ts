/** Recount against stores: per tenant, type (or meter) and hour, archive against batch against merged. */
import type { Aggregation, Contribution } from '../domain/cell.ts';
import { divideHalfEven, formatDecimal } from '../domain/decimal.ts';
import { countDistinct, DistinctBuilder } from '../domain/distinct.ts';
import { OTHER } from '../domain/groups.ts';
import { measure, type Meter, meterId, type MeterSet } from '../domain/meter.ts';
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
  readonly members: DistinctBuilder;
}

type Added = Pick<Contribution, 'aggregation' | 'value' | 'order' | 'member'>;

/** The naive form of every aggregation: one addition or comparison an event. */
function add(tally: Tally | undefined, { aggregation, value, order, member }: Added): Tally {
  const found = tally ?? {
    aggregation,
    count: 0,
    sum: 0n,
    least: value,
    most: value,
    order,
    last: value,
    members: new DistinctBuilder(),
  };
  found.count += 1;
  found.sum += value;
  if (value < found.least) found.least = value;
  if (value > found.most) found.most = value;
  if (order > found.order) [found.order, found.last] = [order, value];
  if (member !== undefined) found.members.add(member);
  return found;
}

function valueOf({ aggregation, count, sum, least, most, last, members }: Tally): string {
  switch (aggregation) {
    case 'count':
      return String(count);
    case 'sum':
    case 'time_weighted_sum':
      return formatDecimal(sum);
    case 'min':
      return formatDecimal(least);
    case 'max':
      return formatDecimal(most);
    case 'latest':
      return formatDecimal(last);
    case 'average':
      return formatDecimal(divideHalfEven(sum, count));
    case 'unique_count':
      return String(countDistinct(members.build()));
  }
}

interface LastReading {
  readonly order: string;
  readonly value: bigint;
}

/** A gauge's readings, by tenant, meter and group: second -> the last of that second. */
interface Series {
  readonly tenant: string;
  readonly meter: Meter;
  readonly group: string;
  readonly readings: Map<number, LastReading>;
}

const SECONDS_PER_HOUR = 3600;

/** Walks from reading to reading and adds each stretch to the hours that it touches. */
function hoursOfSeries({ readings, meter }: Series, until: number): Map<number, { sum: bigint; count: number }> {
  const hours = new Map<number, { sum: bigint; count: number }>();
  const at = (second: number): { sum: bigint; count: number } => {
    const hour = Math.floor(second / SECONDS_PER_HOUR);
    const found = hours.get(hour) ?? { sum: 0n, count: 0 };
    hours.set(hour, found);
    return found;
  };
  const seconds = [...readings.keys()].sort((a, b) => a - b);
  seconds.forEach((second, n) => {
    at(second).count += 1;
    const end = Math.min(seconds[n + 1] ?? until, second + meter.holdMinutes * 60, until);
    for (let from = second; from < end;) {
      const to = Math.min(end, (Math.floor(from / SECONDS_PER_HOUR) + 1) * SECONDS_PER_HOUR);
      at(from).sum += (readings.get(second)?.value ?? 0n) * BigInt(to - from);
      from = to;
    }
  });
  return hours;
}

/** Collects first copies into what the batch view and the merged answer must hold. */
export class Expectation {
  readonly #meters: MeterSet;
  readonly #until: number;
  readonly #hours = new Map<string, Tally>();
  readonly #merged = new Map<string, Tally>();
  readonly #series = new Map<string, Series>();
  archived = 0;
  merged = 0;
  /** Hours before it are not in the batch view any more. */
  usageFrom = 0;

  /** `meters`: those that answer. `until`: how far the answer reaches, seconds since 1970. */
  constructor(meters: MeterSet, until: number) {
    this.#meters = meters;
    this.#until = until;
  }

  count({ event, lineage, position, isPublished }: Winner): void {
    const hour = Math.floor(event.timestamp / MICROS_PER_HOUR);
    this.merged += 1;
    if (isPublished) {
      this.archived += 1;
      const id = idOf(event.tenant, event.type, hour);
      this.#hours.set(id, add(this.#hours.get(id), { aggregation: 'sum', value: event.quantity, order: '' }));
    }
    const place = { depth: lineage.depth, lineage: lineage.id, position };
    for (const meter of this.#meters.forType(event.type)) {
      for (const c of measure(event, place, [meter]).contributions) {
        if (c.second !== undefined) this.#read(meter, c, c.second);
        else {
          const id = idOf(c.tenant, c.meter, hour, c.group);
          this.#merged.set(id, add(this.#merged.get(id), c));
        }
      }
    }
  }

  #read(meter: Meter, { tenant, group, order, value }: Contribution, second: number): void {
    const id = idOf(tenant, meterId(meter), 0, group);
    const series = this.#series.get(id) ?? { tenant, meter, group, readings: new Map<number, LastReading>() };
    this.#series.set(id, series);
    if (order > (series.readings.get(second)?.order ?? '')) series.readings.set(second, { order, value });
  }

  /** By tenant, event type and hour. */
  get hours(): Held {
    return since(held(this.#hours), this.usageFrom);
  }
  /** By tenant, meter@version, hour and group. */
  get answers(): Held {
    const all = held(this.#merged);
    for (const series of this.#series.values()) {
      for (const [hour, { sum, count }] of hoursOfSeries(series, this.#until)) {
        const id = idOf(series.tenant, meterId(series.meter), hour, series.group);
        all.set(id, shown(formatDecimal(divideHalfEven(sum, SECONDS_PER_HOUR)), count));
      }
    }
    return all;
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

/** Hours of a meter in which groups lie beyond the bound: their groups cannot be told apart, and are not compared. */
function withoutOther(answers: Held, found: Held): Held {
  const beyond = new Set<string>();
  const hourOf = (id: string): { hour: string; group: string } => {
    const [tenant, name, hour, group] = JSON.parse(id) as [string, string, number, string];
    return { hour: JSON.stringify([tenant, name, hour]), group };
  };
  for (const id of found.keys()) if (hourOf(id).group === OTHER) beyond.add(hourOf(id).hour);
  return beyond.size === 0 ? answers : new Map([...answers].filter(([id]) => !beyond.has(hourOf(id).hour)));
}

export function compare(expected: Expectation, hours: Held, answers: Held, findings: readonly Finding[]): VerifyReport {
  const differences = [
    ...differencesOf('batch', expected.hours, since(hours, expected.usageFrom)),
    ...differencesOf('merged', withoutOther(expected.answers, answers), withoutOther(answers, answers)),
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
