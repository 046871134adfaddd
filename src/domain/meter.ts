/** Meters: what is measured of which events, and how one event is measured. */
import type { Position } from '../contract.ts';
import type { Aggregation, Contribution } from './cell.ts';
import { parseDecimal } from './decimal.ts';
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
}

export interface MeterSet {
  /** No meters file: every event type has a sum meter of its own name. */
  readonly implicit: boolean;
  readonly meters: readonly Meter[];
  forType(eventType: string): readonly Meter[];
  find(key: string): Meter | undefined;
}

/** The only version until meters have several. */
const VERSION = 1;
export const meterId = ({ key }: Pick<Meter, 'key'>): string => `${key}@${String(VERSION)}`;

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

const valueOf = (meter: Meter, event: UsageEvent, properties: Properties): bigint | undefined => {
  if (meter.aggregation === 'count') return 0n;
  if (meter.value === 'quantity') return event.quantity;
  const found = at(properties, meter.value);
  return typeof found === 'number' || typeof found === 'string' ? parseDecimal(String(found)) : undefined;
};

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
    const value = valueOf(meter, event, properties);
    if (value === undefined) {
      skipped.push(meter.key);
      continue;
    }
    const { aggregation, groupBy } = meter;
    const group =
      groupBy.length === 0 ? NO_GROUP : JSON.stringify(groupBy.map((name) => groupValue(at(properties, pathOf(name)))));
    const order = aggregation === 'latest' ? orderOf(event, place) : '';
    contributions.push({ tenant: event.tenant, meter: meterId(meter), minute, group, aggregation, value, order });
  }
  return { contributions, skipped };
}

/** Without a file: any event type is a meter. */
export function implicitMeters(): MeterSet {
  const known = new Map<string, readonly [Meter]>();
  const forType = (eventType: string): readonly [Meter] => {
    const found = known.get(eventType);
    if (found !== undefined) return found;
    const meter: Meter = {
      key: eventType,
      eventType,
      aggregation: 'sum',
      value: 'quantity',
      groupBy: [],
      filter: new Map(),
      unit: null,
    };
    // Event types come from users: what is kept of them must not grow without bound.
    if (known.size < 10_000) known.set(eventType, [meter]);
    return [meter];
  };
  return { implicit: true, meters: [], forType, find: (key) => forType(key)[0] };
}

export function meterSetOf(meters: readonly Meter[]): MeterSet {
  const byKey = new Map(meters.map((meter) => [meter.key, meter]));
  const byType = new Map<string, Meter[]>();
  for (const meter of meters) byType.set(meter.eventType, [...(byType.get(meter.eventType) ?? []), meter]);
  return { implicit: false, meters, forType: (type) => byType.get(type) ?? [], find: (key) => byKey.get(key) };
}
