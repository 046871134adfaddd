/** The meters file: YAML in, a meter set or every fault at once out. */
import { type Document, isMap, isSeq, LineCounter, parseDocument, type YAMLMap } from 'yaml';
import { asError, MeterError } from '../errors.ts';
import { AGGREGATIONS, type Aggregation } from './cell.ts';
import { readSchemas, type Schema } from './event-schema.ts';
import { type Meter, meterSetOf, type MeterSet } from './meter.ts';
import type { Spread, SpreadStep } from './routing.ts';
import { parseTime } from './time.ts';

const FIELDS: ReadonlySet<string> = new Set([
  ...['key', 'event_type', 'aggregation', 'value', 'group_by', 'filter', 'unit', 'hold'],
]);
const MAX_KEY = 128;
const MAX_GROUP_BY = 5;

type Raw = Readonly<Record<string, unknown>>;

/** Faults of one entry, each with the field it is about. */
class Faults {
  readonly list: string[] = [];
  readonly #where: string;
  constructor(where: string, list: string[]) {
    this.#where = where;
    this.list = list;
  }
  add(field: string, value: unknown, allowed: string): void {
    this.list.push(
      `${this.#where}: ${field} is ${(JSON.stringify(value) as string | undefined) ?? 'missing'}; allowed: ${allowed}`,
    );
  }
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '' && !value.includes('\0');

function readKey(raw: Raw, faults: Faults): string {
  const { key } = raw;
  if (isText(key) && key.length <= MAX_KEY && !key.includes('@')) return key;
  faults.add('key', key, `a name of 1 to ${MAX_KEY} characters without @`);
  return '';
}

function readAggregation(raw: Raw, faults: Faults): Aggregation {
  const found = AGGREGATIONS.find((name) => name === raw.aggregation);
  if (found === undefined) faults.add('aggregation', raw.aggregation, AGGREGATIONS.join(', '));
  return found ?? 'sum';
}

function readValue(raw: Raw, aggregation: Aggregation, faults: Faults): Meter['value'] {
  const { value } = raw;
  if (aggregation === 'unique_count' && (value === undefined || value === 'quantity'))
    faults.add('value', value, 'a path into the properties: what is counted once');
  if (value === undefined) return 'quantity';
  if (aggregation === 'count') faults.add('value', value, 'nothing: count has no value');
  if (!isText(value)) faults.add('value', value, 'quantity, or a path into the properties such as usage.tokens');
  if (value === 'quantity' || !isText(value)) return 'quantity';
  return value.split('.');
}

function readGroupBy(raw: Raw, faults: Faults): readonly string[] {
  const names: unknown = raw.group_by ?? [];
  const ok =
    Array.isArray(names) && names.length <= MAX_GROUP_BY && names.every(isText) && new Set(names).size === names.length;
  if (!ok) faults.add('group_by', names, `a list of at most ${MAX_GROUP_BY} different names of properties`);
  return ok ? names : [];
}

function readFilter(raw: Raw, faults: Faults): Meter['filter'] {
  const filter = raw.filter ?? {};
  const entries = typeof filter === 'object' && !Array.isArray(filter) ? Object.entries(filter) : undefined;
  if (entries === undefined) faults.add('filter', filter, 'property: value, or property: [value, …]');
  return new Map(
    (entries ?? []).map(([name, values]: [string, unknown]) => {
      const list: unknown[] = Array.isArray(values) ? values : [values];
      const ok = list.every((value) => ['string', 'number', 'boolean'].includes(typeof value));
      if (!ok) faults.add(`filter.${name}`, values, 'a value or a list of values');
      return [name, new Set(list.map(String))];
    }),
  );
}

function readMeter(raw: Raw, faults: Faults): Meter {
  for (const name of Object.keys(raw))
    if (!FIELDS.has(name)) faults.add(name, raw[name], `the fields ${[...FIELDS].join(', ')}`);
  const key = readKey(raw, faults);
  const eventType = isText(raw.event_type) ? raw.event_type : '';
  if (eventType === '') faults.add('event_type', raw.event_type, 'the event type that the meter measures');
  const aggregation = readAggregation(raw, faults);
  const unit = raw.unit ?? null;
  if (unit !== null && !isText(unit)) faults.add('unit', unit, 'a text such as tokens or GB-hours');
  const value = readValue(raw, aggregation, faults);
  return {
    key,
    eventType,
    aggregation,
    value,
    groupBy: readGroupBy(raw, faults),
    filter: readFilter(raw, faults),
    unit: unit as string | null,
    holdMinutes: readHold(raw, aggregation, faults),
    version: 1,
  };
}

const MINUTES = { m: 1, h: 60, d: 1440 } as const;
const MAX_HOLD = 31 * MINUTES.d;

/** How long a reading holds: of gauges only, and there nobody can guess it. */
function readHold({ hold }: Raw, aggregation: Aggregation, faults: Faults): number {
  if (aggregation !== 'time_weighted_sum') {
    if (hold !== undefined) faults.add('hold', hold, 'nothing: only time_weighted_sum has a hold');
    return 0;
  }
  const [, count, unit] = /^(\d{1,5})([mhd])$/.exec(typeof hold === 'string' ? hold : '') ?? [];
  const minutes = Number(count ?? 0) * (unit === undefined ? 0 : MINUTES[unit as keyof typeof MINUTES]);
  if (minutes < 1 || minutes > MAX_HOLD)
    faults.add('hold', hold, 'how long a reading counts where none follows: 1m to 31d, such as 90m, 24h or 2d');
  return minutes;
}

/** With aliases followed (`toJSON` would take `*name` for a map of its own); an Error where one leads nowhere, or in a circle. */
function fieldsOf(node: YAMLMap, document: Document): Raw | Error {
  try {
    const fields = node.toJS(document) as Raw;
    // Throws for a circle.
    JSON.stringify(fields);
    return fields;
  } catch (error) {
    return asError(error);
  }
}

/** What a meters file declares. */
export interface MetersFile {
  /** Undefined where the file has no list of meters: it speaks of tenants and event types alone. */
  readonly meters: readonly Meter[] | undefined;
  readonly spread: Spread | undefined;
  /** By event type; undefined where the file has no map of schemas. */
  readonly schemas: ReadonlyMap<string, Schema> | undefined;
}

class Reading {
  readonly faults: string[];
  readonly #document: Document;
  readonly #lines: LineCounter;

  constructor(text: string) {
    this.#lines = new LineCounter();
    this.#document = parseDocument(text, { lineCounter: this.#lines });
    this.faults = this.#document.errors.map((error) => error.message.split('\n')[0] ?? 'not YAML');
  }

  get(name: string): unknown {
    return isMap(this.#document.contents) ? this.#document.contents.get(name, true) : undefined;
  }

  get names(): readonly string[] {
    return isMap(this.#document.contents) ? this.#document.contents.items.map(({ key }) => String(key)) : [];
  }

  whereIs(node: { readonly range?: readonly number[] | null }): string {
    return `line ${String(this.#lines.linePos(node.range?.[0] ?? 0).line)}`;
  }

  /** The fields of a map and where it stands. */
  fields(node: YAMLMap): { readonly raw: Raw; readonly where: string } | undefined {
    const where = this.whereIs(node);
    const raw = fieldsOf(node, this.#document);
    if (!(raw instanceof Error)) return { raw, where };
    this.faults.push(`${where}: ${raw.message}`);
    return undefined;
  }
}

function readMeters(reading: Reading): readonly Meter[] | undefined {
  const entries = reading.get('meters');
  if (!isSeq(entries)) {
    const isOptional = entries === undefined && reading.names.some((name) => name === 'spread' || name === 'schemas');
    if (reading.faults.length === 0 && !isOptional) reading.faults.push('meters: must be a list of meters');
    return undefined;
  }
  const meters = entries.items.flatMap((node): Meter[] => {
    if (!isMap(node)) reading.faults.push('meters: every entry must be a map of fields');
    const found = isMap(node) ? reading.fields(node) : undefined;
    return found === undefined ? [] : [readMeter(found.raw, new Faults(found.where, reading.faults))];
  });
  const keys = meters.map((meter) => meter.key);
  for (const key of new Set(keys.filter((k, n) => keys.indexOf(k) !== n)))
    reading.faults.push(`meters: the key ${JSON.stringify(key)} stands twice`);
  return meters;
}

const MAX_SPREAD = 256;

function readStep(raw: unknown, faults: Faults, tenant: string): SpreadStep {
  const { from, keys }: { from?: unknown; keys?: unknown } = typeof raw === 'object' && raw !== null ? raw : {};
  const micros = typeof from === 'string' ? parseTime(from) : undefined;
  if (micros === undefined) faults.add(`spread.${tenant}.from`, from, 'a time such as "2026-12-01T00:00Z"');
  const isCount = typeof keys === 'number' && Number.isInteger(keys) && keys >= 1 && keys <= MAX_SPREAD;
  if (!isCount) faults.add(`spread.${tenant}.keys`, keys, `a whole number from 1 to ${String(MAX_SPREAD)}`);
  return { from: micros ?? 0, keys: isCount ? keys : 1 };
}

function readSpread(reading: Reading): Spread | undefined {
  const node = reading.get('spread');
  if (node === undefined) return undefined;
  const found = isMap(node) ? reading.fields(node) : undefined;
  if (found === undefined) {
    reading.faults.push('spread: must be a map of tenants, each with a list of { from, keys }');
    return undefined;
  }
  const faults = new Faults(found.where, reading.faults);
  return new Map(
    Object.entries(found.raw).map(([tenant, list]) => {
      if (!Array.isArray(list)) faults.add(`spread.${tenant}`, list, 'a list of { from, keys }');
      const steps = (Array.isArray(list) ? list : []).map((raw: unknown) => readStep(raw, faults, tenant));
      const isAscending = steps.every(({ from }, n) => n === 0 || from > (steps[n - 1]?.from ?? 0));
      if (!isAscending) faults.add(`spread.${tenant}`, list, 'steps in the order of their times');
      return [tenant, steps];
    }),
  );
}

function readSchemaMap(reading: Reading): ReadonlyMap<string, Schema> | undefined {
  const node = reading.get('schemas');
  if (node === undefined) return undefined;
  const found = isMap(node) ? reading.fields(node) : undefined;
  if (!isMap(node) || found === undefined) {
    reading.faults.push('schemas: must be a map of event types, each with properties: the JSON Schema of its properties');
    return undefined;
  }
  return readSchemas(found.raw, (eventType) => {
    const entry = node.get(eventType, true);
    const faults = new Faults(isMap(entry) ? reading.whereIs(entry) : found.where, reading.faults);
    return faults.add.bind(faults);
  });
}

const NAMES: readonly string[] = ['meters', 'spread', 'schemas'];

/** Throws BAD_METERS, whose message lists every fault with its line. */
export function parseMetersFile(text: string): MetersFile {
  const reading = new Reading(text);
  for (const name of reading.names)
    if (!NAMES.includes(name)) reading.faults.push(`${name}: allowed here: ${NAMES.join(', ')}`);
  const file = { meters: readMeters(reading), spread: readSpread(reading), schemas: readSchemaMap(reading) };
  if (reading.faults.length > 0) throw new MeterError('BAD_METERS', `read the meters file: ${reading.faults.join('; ')}`);
  return file;
}

/** The meters alone. Throws BAD_METERS. */
export const parseMeters = (text: string): MeterSet => meterSetOf(parseMetersFile(text).meters ?? []);
