/** A mapping: which columns of a file make which events. */
import { parse } from 'yaml';
import { asError, MeterError } from '../../errors.ts';

/** A value that is the same in every row, or a column of the row. */
export type Cell = { readonly value: string } | { readonly column: string };

export interface EventMapping {
  readonly eventType: Cell;
  readonly quantity: Cell;
}

export interface Mapping {
  readonly time: { readonly column: string };
  readonly tenant: Cell;
  /** With `{row}`, `{file}`, `{event_type}` and `{column name}` in it. */
  readonly idempotencyKey: string;
  readonly events: readonly EventMapping[];
  readonly subject: Cell | undefined;
  readonly properties: ReadonlyMap<string, Cell>;
  /** A column that holds all properties: an object, or the JSON text of one. */
  readonly propertiesColumn: string | undefined;
  /** CSV only: text cells were guarded by `meterfold export` against being taken for formulas. */
  readonly isGuarded: boolean;
}

type Raw = Readonly<Record<string, unknown>>;

const FIELDS = ['time', 'tenant', 'idempotency_key', 'events', 'subject', 'properties', 'guarded'] as const;
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

  eventType(field: string, raw: unknown): Cell {
    if (typeof raw === 'string' && raw !== '') return { value: raw };
    if (isMap(raw)) return this.cell(field, raw);
    this.refuse(field, raw, 'the event type, or { column: NAME }');
    return { value: '' };
  }

  event(raw: unknown, n: number): EventMapping {
    const field = `events[${String(n)}]`;
    const entry = isMap(raw) ? raw : {};
    const { event_type: eventType, quantity, ...others } = entry;
    for (const name of Object.keys(others)) this.refuse(`${field}.${name}`, others[name], 'event_type, quantity');
    return {
      eventType: this.eventType(`${field}.event_type`, eventType),
      quantity: this.cell(`${field}.quantity`, quantity),
    };
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

/** `{ column: NAME }` is all of them in one column; a property that is called `column` has a map there. */
function readProperties(reading: Reading, raw: unknown): Pick<Mapping, 'properties' | 'propertiesColumn'> {
  if (raw !== undefined && !isMap(raw)) reading.refuse('properties', raw, 'a map of names, or { column: NAME }');
  const named = isMap(raw) ? raw : {};
  if (Object.keys(named).length === 1 && typeof named.column === 'string')
    return { properties: new Map(), propertiesColumn: named.column };
  const cells = Object.entries(named).map(([name, cell]) => [name, reading.cell(`properties.${name}`, cell)] as const);
  return { properties: new Map(cells), propertiesColumn: undefined };
}

function readGuarded(reading: Reading, raw: unknown): boolean {
  if (raw !== undefined && typeof raw !== 'boolean') reading.refuse('guarded', raw, 'true, false');
  return raw === true;
}

function parseYaml(text: string): Raw {
  try {
    const raw: unknown = parse(text);
    return isMap(raw) ? raw : {};
  } catch (cause) {
    throw new MeterError('BAD_MAPPING', `read the mapping: not YAML: ${asError(cause).message}`, { cause });
  }
}

/** Throws BAD_MAPPING, whose message lists every fault. */
export function parseMapping(text: string): Mapping {
  const reading = new Reading();
  const fields = parseYaml(text);
  for (const name of Object.keys(fields)) {
    if (!FIELDS.some((known) => known === name)) reading.refuse(name, fields[name], FIELDS.join(', '));
  }
  const events = readEvents(reading, fields.events);
  const mapping: Mapping = {
    time: readTime(reading, fields.time),
    tenant: reading.cell('tenant', fields.tenant),
    idempotencyKey: readKey(reading, fields.idempotency_key, events),
    events,
    subject: fields.subject === undefined ? undefined : reading.cell('subject', fields.subject),
    ...readProperties(reading, fields.properties),
    isGuarded: readGuarded(reading, fields.guarded),
  };
  if (reading.faults.length > 0) throw new MeterError('BAD_MAPPING', `read the mapping: ${reading.faults.join('; ')}`);
  return mapping;
}

const PLACE = /\{([^{}]+)\}/g;
/** What is no column in a key: these names win over columns of the same name. */
const PLACES: ReadonlySet<string> = new Set(['row', 'file', 'event_type']);
const placesOf = (template: string): readonly string[] => [...template.matchAll(PLACE)].map(([, name = '']) => name);

/** Every column that the mapping names. */
export function columnsOf(mapping: Mapping): readonly string[] {
  const cells = [
    mapping.tenant,
    ...mapping.events.flatMap((e) => [e.eventType, e.quantity]),
    ...mapping.properties.values(),
    ...(mapping.subject ? [mapping.subject] : []),
  ];
  const named = cells.flatMap((cell) => ('column' in cell ? [cell.column] : []));
  const whole = mapping.propertiesColumn === undefined ? [] : [mapping.propertiesColumn];
  const inKey = placesOf(mapping.idempotencyKey).filter((name) => !PLACES.has(name));
  return [...new Set([mapping.time.column, ...named, ...whole, ...inKey])];
}

/** Row numbers begin anew in every file: without the file's name rows of two files would be one event. Throws BAD_MAPPING. */
export function demandFileInKey({ idempotencyKey }: Mapping): void {
  const places = placesOf(idempotencyKey);
  if (!places.includes('row') || places.includes('file')) return;
  throw new MeterError('BAD_MAPPING', 'import a folder: {row} is the same in several files, so the key needs {file} too', {
    field: 'idempotency_key',
    value: idempotencyKey,
    allowed: 'a text with {file} and {row}, or with columns that no two rows share',
  });
}

/** Where a row stands. */
export interface Place {
  /** Relative to the folder that is imported, with forward slashes; the name of a file that is imported alone. */
  readonly file: string;
  readonly row: number;
}

/** The key of an event of a row. */
export const keyOf = (template: string, place: Place & { readonly eventType: string }, values: Raw): string =>
  template.replace(PLACE, (_, name: string) => {
    switch (name) {
      case 'row':
        return String(place.row);
      case 'file':
        return place.file;
      case 'event_type':
        return place.eventType;
      default:
        return textOf(values[name]);
    }
  });

/** A value of a row as text; numbers of NDJSON keep their own spelling where it is exact. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value === undefined || value === null) return '';
  return isScalar(value) ? String(value) : JSON.stringify(value);
}
