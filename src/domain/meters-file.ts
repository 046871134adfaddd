/** The meters file: YAML in, a meter set or every fault at once out. */
import { type Document, isMap, isSeq, LineCounter, parseDocument, type YAMLMap } from 'yaml';
import { asError, MeterError } from '../errors.ts';
import type { Aggregation } from './cell.ts';
import { type Meter, meterSetOf, type MeterSet } from './meter.ts';

const AGGREGATIONS: readonly Aggregation[] = ['sum', 'count', 'min', 'max', 'average', 'latest'];
const FIELDS: ReadonlySet<string> = new Set(['key', 'event_type', 'aggregation', 'value', 'group_by', 'filter', 'unit']);
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
  };
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

/** Throws BAD_METERS, whose message lists every fault with its line. */
export function parseMeters(text: string): MeterSet {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const list: string[] = document.errors.map((error) => error.message.split('\n')[0] ?? 'not YAML');
  const entries = isMap(document.contents) ? document.contents.get('meters', true) : undefined;
  const meters: Meter[] = [];
  if (list.length === 0 && !isSeq(entries)) list.push('meters: must be a list of meters');
  for (const node of isSeq(entries) ? entries.items : []) {
    const range = isMap(node) ? node.range : undefined;
    const where = `line ${String(lines.linePos(range?.[0] ?? 0).line)}`;
    if (!isMap(node)) list.push('meters: every entry must be a map of fields');
    else {
      const raw = fieldsOf(node, document);
      if (raw instanceof Error) list.push(`${where}: ${raw.message}`);
      else meters.push(readMeter(raw, new Faults(where, list)));
    }
  }
  const keys = meters.map((meter) => meter.key);
  for (const key of new Set(keys.filter((k, n) => keys.indexOf(k) !== n)))
    list.push(`meters: the key ${JSON.stringify(key)} stands twice`);
  if (list.length > 0) throw new MeterError('BAD_METERS', `read the meters file: ${list.join('; ')}`);
  return meterSetOf(meters);
}

interface Recorded {
  readonly key: string;
  readonly [field: string]: unknown;
}

const plain = ({ filter, ...meter }: Meter): Recorded => ({
  ...meter,
  filter: [...filter].map(([name, values]) => [name, [...values].sort()]).sort(),
});

/** What is recorded of a meter set at the first start: the same for the same meters, in whatever order they stand. */
export function canonicalMeters(set: MeterSet): string {
  if (set.implicit) return 'implicit';
  return JSON.stringify(set.meters.map(plain).sort((a, b) => (a.key < b.key ? -1 : 1)));
}

const byKey = (text: string): Map<string, string> =>
  new Map(text === 'implicit' ? [] : (JSON.parse(text) as Recorded[]).map((meter) => [meter.key, JSON.stringify(meter)]));

/** What two recorded sets differ in, in sentences. */
export function differences(recorded: string, now: string): readonly string[] {
  if (recorded === now) return [];
  if (recorded === 'implicit') return ['no meters file was used at the first start, one is now'];
  if (now === 'implicit') return ['a meters file was used at the first start, none is now'];
  const [before, after] = [byKey(recorded), byKey(now)];
  const gone = [...before.keys()].filter((key) => !after.has(key)).map((key) => `meter ${key} is gone`);
  const added = [...after.keys()].filter((key) => !before.has(key)).map((key) => `meter ${key} is new`);
  const changed = [...after].filter(([key, meter]) => before.has(key) && before.get(key) !== meter);
  return [...gone, ...added, ...changed.map(([key, meter]) => `meter ${key} was ${before.get(key) ?? ''}, is ${meter}`)];
}
