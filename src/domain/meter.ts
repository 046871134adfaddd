/** Meters: what is measured of which events, and how one event is measured. */
import type { Position } from '../contract.ts';
import type { Aggregation, Contribution } from './cell.ts';
import { parseDecimal } from './decimal.ts';
import { memberOf } from './distinct.ts';
import type { UsageEvent } from './event.ts';

export interface Meter {
  readonly key: string;
  readonly eventType: string;
  readonly aggregation: Aggregation;
  /** The quantity, or a path into the properties. */
  readonly value: 'quantity' | readonly string[];
  /** Paths into the properties. */
  readonly groupBy: readonly string[];
  /** An event counts where each property has one of the values. */
  readonly filter: ReadonlyMap<string, ReadonlySet<string>>;
  readonly unit: string | null;
  /** Of a gauge: how long a reading holds where none follows, minutes. 0 for other aggregations. */
  readonly holdMinutes: number;
  /** Counts up with each change of the definition under this key. */
  readonly version: number;
}

export interface MeterSet {
  /** Every event type has a sum meter of its own name, version 1. */
  readonly implicit: boolean;
  readonly meters: readonly Meter[];
  forType(eventType: string): readonly Meter[];
  /** Of several versions of a key the newest, unless one is named. */
  find(key: string, version?: number): Meter | undefined;
}

export const meterId = ({ key, version }: Pick<Meter, 'key' | 'version'>): string => `${key}@${String(version)}`;

const ids = new WeakMap<Meter, string>();
/** Asked for with every event: the text of a meter is made once. */
function rememberedId(meter: Meter): string {
  const known = ids.get(meter);
  if (known !== undefined) return known;
  const id = meterId(meter);
  ids.set(meter, id);
  return id;
}

/** Whether events that are measured under this set count for exactly this version of the meter. */
export function measures(set: MeterSet, meter: Meter): boolean {
  const id = meterId(meter);
  return set.forType(meter.eventType).some((known) => meterId(known) === id);
}

/** Where an event lies: what orders `latest` among equal times. */
export interface Place {
  readonly depth: number;
  readonly lineage: string;
  readonly position: Position;
}

export interface Measured {
  readonly contributions: readonly Contribution[];
  /** Keys of meters whose value is missing or no number: they skip this event, others do not. */
  readonly skipped: readonly string[];
}

const MICROS_PER_MINUTE = 60_000_000;
const MICROS_PER_SECOND = 1_000_000;
/** Where the later of two events stands. */
const ORDERED: ReadonlySet<Aggregation> = new Set<Aggregation>(['latest', 'time_weighted_sum']);
const NO_GROUP = '[]';

type Properties = Readonly<Record<string, unknown>>;

/** Walks a path; undefined where it leads nowhere. Own fields only. */
function at(properties: Properties, path: readonly string[]): unknown {
  let value: unknown = properties;
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Properties)[name];
  }
  return value;
}

/** A group value: text as it is, numbers and booleans as canonical text, everything else null. */
const groupValue = (value: unknown): string | null =>
  typeof value === 'string' ? value : typeof value === 'number' || typeof value === 'boolean' ? String(value) : null;

const pathOf = (name: string): readonly string[] => name.split('.');

/** What a meter takes from an event: a number, or what stands for a value that is counted once. */
interface Taken {
  readonly value: bigint;
  readonly member?: string;
}
const NOTHING: Taken = { value: 0n };

function uniqueOf(meter: Meter, properties: Properties): Taken | undefined {
  const text = meter.value === 'quantity' ? null : groupValue(at(properties, meter.value));
  return text === null ? undefined : { value: 0n, member: memberOf(text) };
}

function taken(meter: Meter, event: UsageEvent, properties: Properties): Taken | undefined {
  if (meter.aggregation === 'count') return NOTHING;
  if (meter.aggregation === 'unique_count') return uniqueOf(meter, properties);
  if (meter.value === 'quantity') return { value: event.quantity };
  const found = at(properties, meter.value);
  const value = typeof found === 'number' || typeof found === 'string' ? parseDecimal(String(found)) : undefined;
  return value === undefined ? undefined : { value };
}

const passes = (meter: Meter, properties: Properties): boolean => {
  for (const [name, allowed] of meter.filter) {
    const value = groupValue(at(properties, pathOf(name)));
    if (value === null || !allowed.has(value)) return false;
  }
  return true;
};

const needsProperties = (meter: Meter): boolean =>
  meter.value !== 'quantity' || meter.groupBy.length > 0 || meter.filter.size > 0;

const EMPTY: Properties = {};

/** (event_timestamp, lineage depth, lineage id, position), printable: greater is later. */
const orderOf = (event: UsageEvent, { depth, lineage, position }: Place): string =>
  `${String(event.timestamp).padStart(16, '0')}|${String(depth).padStart(4, '0')}|${lineage}|${position}`;

/** What an event adds to the cells of these meters, which are those of its type. */
export function measure(event: UsageEvent, place: Place, meters: readonly Meter[]): Measured {
  const properties = meters.some(needsProperties) ? (JSON.parse(event.properties) as Properties) : EMPTY;
  const contributions: Contribution[] = [];
  const skipped: string[] = [];
  const minute = Math.floor(event.timestamp / MICROS_PER_MINUTE);
  for (const meter of meters) {
    if (!passes(meter, properties)) continue;
    const found = taken(meter, event, properties);
    if (found === undefined) {
      skipped.push(meter.key);
      continue;
    }
    const { aggregation, groupBy } = meter;
    const group =
      groupBy.length === 0 ? NO_GROUP : JSON.stringify(groupBy.map((name) => groupValue(at(properties, pathOf(name)))));
    const order = ORDERED.has(aggregation) ? orderOf(event, place) : '';
    const { value, member } = found;
    const plain = { tenant: event.tenant, meter: rememberedId(meter), minute, group, aggregation, value, order };
    if (member !== undefined) contributions.push({ ...plain, member });
    else if (aggregation !== 'time_weighted_sum') contributions.push(plain);
    else contributions.push({ ...plain, second: Math.floor(event.timestamp / MICROS_PER_SECOND) });
  }
  return { contributions, skipped };
}

/** What a meter has that does not say otherwise. */
const PLAIN = { value: 'quantity', groupBy: [], filter: new Map(), unit: null, holdMinutes: 0, version: 1 } as const;

/** Without a file: any event type is a meter. */
export function implicitMeters(): MeterSet {
  const known = new Map<string, readonly [Meter]>();
  const forType = (eventType: string): readonly [Meter] => {
    const found = known.get(eventType);
    if (found !== undefined) return found;
    const meter: Meter = { ...PLAIN, key: eventType, eventType, aggregation: 'sum' };
    // Event types come from users: what is kept of them must not grow without bound.
    if (known.size < 10_000) known.set(eventType, [meter]);
    return [meter];
  };
  const find = (key: string, version = 1): Meter | undefined => (version === 1 ? forType(key)[0] : undefined);
  return { implicit: true, meters: [], forType, find };
}

/** `beside`: implicit meters that are still measured beside those of a file. */
export function meterSetOf(meters: readonly Meter[], beside?: MeterSet): MeterSet {
  const newest = new Map<string, Meter>();
  const byType = new Map<string, Meter[]>();
  for (const meter of meters) {
    if (meter.version >= (newest.get(meter.key)?.version ?? 0)) newest.set(meter.key, meter);
    byType.set(meter.eventType, [...(byType.get(meter.eventType) ?? []), meter]);
  }
  const byId = new Map(meters.map((meter) => [meterId(meter), meter]));
  return {
    implicit: beside !== undefined,
    meters,
    forType: (type) => [...(byType.get(type) ?? []), ...(beside?.forType(type) ?? [])],
    find: (key, version) =>
      (version === undefined ? newest.get(key) : byId.get(meterId({ key, version }))) ?? beside?.find(key, version),
  };
}
