/** A mapping: which columns of a file make which events. */
import { parse } from 'yaml';
import { MeterError } from '../../errors.ts';

/** A value that is the same in every row, or a column of the row. */
export type Cell = { readonly value: string } | { readonly column: string };

export interface EventMapping {
  readonly eventType: string;
  readonly quantity: Cell;
}

export interface Mapping {
  readonly time: { readonly column: string };
  readonly tenant: Cell;
  /** With `{row}`, `{event_type}` and `{column name}` in it. */
  readonly idempotencyKey: string;
  readonly events: readonly EventMapping[];
  readonly subject: Cell | undefined;
  readonly properties: ReadonlyMap<string, Cell>;
}

type Raw = Readonly<Record<string, unknown>>;

const FIELDS = ['time', 'tenant', 'idempotency_key', 'events', 'subject', 'properties'] as const;
const isMap = (value: unknown): value is Raw => typeof value === 'object' && value !== null && !Array.isArray(value);
const isScalar = (value: unknown): value is string | number | boolean =>
  ['string', 'number', 'boolean'].includes(typeof value);

class Reading {
  readonly faults: string[] = [];

  refuse(field: string, value: unknown, allowed: string): void {
    this.faults.push(`${field} is ${(JSON.stringify(value) as string | undefined) ?? 'missing'}; allowed: ${allowed}`);
  }

  cell(field: string, raw: unknown): Cell {
    if (isMap(raw) && Object.keys(raw).length === 1) {
      if (typeof raw.column === 'string' && raw.column !== '') return { column: raw.column };
      if (isScalar(raw.value)) return { value: String(raw.value) };
    }
    this.refuse(field, raw, '{ column: NAME } or { value: TEXT }');
    return { value: '' };
  }

  event(raw: unknown, n: number): EventMapping {
    const field = `events[${String(n)}]`;
    const entry = isMap(raw) ? raw : {};
    const { event_type: eventType, quantity, ...others } = entry;
    if (typeof eventType !== 'string' || eventType === '') this.refuse(`${field}.event_type`, eventType, 'the event type');
    for (const name of Object.keys(others)) this.refuse(`${field}.${name}`, others[name], 'event_type, quantity');
    return { eventType: String(eventType), quantity: this.cell(`${field}.quantity`, quantity) };
  }
}

function readTime(reading: Reading, raw: unknown): Mapping['time'] {
  if (isMap(raw) && typeof raw.column === 'string' && raw.column !== '') return { column: raw.column };
  reading.refuse('time', raw, '{ column: NAME }');
  return { column: '' };
}

function readEvents(reading: Reading, raw: unknown): readonly EventMapping[] {
  if (Array.isArray(raw) && raw.length > 0) return raw.map((entry, n) => reading.event(entry, n));
  reading.refuse('events', raw, 'a list of { event_type, quantity }');
  return [];
}

function readKey(reading: Reading, raw: unknown, events: readonly EventMapping[]): string {
  if (typeof raw !== 'string' || !raw.includes('{')) {
    reading.refuse('idempotency_key', raw, 'a text with {row} or {column name}, such as "file-{row}-{event_type}"');
    return '';
  }
  if (events.length > 1 && !raw.includes('{event_type}')) {
    reading.refuse('idempotency_key', raw, 'a text with {event_type}: several events of a row need different keys');
  }
  return raw;
}

/** Throws BAD_MAPPING, whose message lists every fault. */
export function parseMapping(text: string): Mapping {
  const reading = new Reading();
  let raw: unknown;
  try {
    raw = parse(text);
  } catch (cause) {
    throw new MeterError(
      'BAD_MAPPING',
      `read the mapping: not YAML: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
  const fields = isMap(raw) ? raw : {};
  for (const name of Object.keys(fields)) {
    if (!FIELDS.some((known) => known === name)) reading.refuse(name, fields[name], FIELDS.join(', '));
  }
  const events = readEvents(reading, fields.events);
  const properties = isMap(fields.properties) ? fields.properties : {};
  if (fields.properties !== undefined && !isMap(fields.properties))
    reading.refuse('properties', fields.properties, 'a map of names');
  const mapping: Mapping = {
    time: readTime(reading, fields.time),
    tenant: reading.cell('tenant', fields.tenant),
    idempotencyKey: readKey(reading, fields.idempotency_key, events),
    events,
    subject: fields.subject === undefined ? undefined : reading.cell('subject', fields.subject),
    properties: new Map(Object.entries(properties).map(([name, cell]) => [name, reading.cell(`properties.${name}`, cell)])),
  };
  if (reading.faults.length > 0) throw new MeterError('BAD_MAPPING', `read the mapping: ${reading.faults.join('; ')}`);
  return mapping;
}

const PLACE = /\{([^{}]+)\}/g;

/** Every column that the mapping names. */
export function columnsOf(mapping: Mapping): readonly string[] {
  const cells = [
    mapping.tenant,
    ...mapping.events.map((e) => e.quantity),
    ...mapping.properties.values(),
    ...(mapping.subject ? [mapping.subject] : []),
  ];
  const named = cells.flatMap((cell) => ('column' in cell ? [cell.column] : []));
  const inKey = [...mapping.idempotencyKey.matchAll(PLACE)].map(([, name = '']) => name);
  return [...new Set([mapping.time.column, ...named, ...inKey.filter((name) => name !== 'row' && name !== 'event_type')])];
}

/** The key of an event of a row. */
export const keyOf = (template: string, row: number, eventType: string, values: Readonly<Record<string, unknown>>): string =>
  template.replace(PLACE, (_, name: string) =>
    name === 'row' ? String(row) : name === 'event_type' ? eventType : textOf(values[name]),
  );

/** A value of a row as text; numbers of NDJSON keep their own spelling where it is exact. */
export const textOf = (value: unknown): string =>
  typeof value === 'string'
    ? value
    : value === undefined || value === null
      ? ''
      : isScalar(value)
        ? String(value)
        : JSON.stringify(value);
