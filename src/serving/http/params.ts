/** Query parameters: every one that is not declared is refused, and every fault names field, value and what is allowed. */
import { parseTime } from '../../domain/time.ts';
import { MeterError } from '../../errors.ts';

/** Reads one parameter; `undefined` where it was not given. Throws BAD_REQUEST. */
export type Reader<T> = (value: string | undefined, field: string) => T;
export type Readers = Readonly<Record<string, Reader<unknown>>>;
export type Values<R extends Readers> = { readonly [K in keyof R]: ReturnType<R[K]> };

/** Long values are told back shortened. */
const SHOWN = 100;
const MAX_TEXT_BYTES = 256;

export function badParam(field: string, value: string | undefined, allowed: string, reason?: string): MeterError {
  const shown = value === undefined ? undefined : value.slice(0, SHOWN);
  const what = reason ?? (value === undefined ? 'is missing' : 'is not valid');
  return new MeterError('BAD_REQUEST', `${field} ${what}`, { field, value: shown, allowed });
}

type Given = Readonly<Record<string, string | readonly string[]>>;

/** `filter[name]`: one or several values of a property of the meter's group_by. */
const FILTER = /^filter\[(.+)\]$/;

/** Throws BAD_REQUEST where a body is no JSON object; `allowed` says what it should be. */
export function demandObject(body: unknown, allowed: string): object {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body;
  throw badParam('body', JSON.stringify(body), allowed);
}

/** `isFiltered` declares the family filter[name] as well; `readFilter` reads it. */
export function readParams<R extends Readers>(query: unknown, readers: R, isFiltered = false): Values<R> {
  const given = query as Given;
  for (const [field, value] of Object.entries(given)) {
    if (isFiltered && FILTER.test(field)) continue;
    if (!Object.hasOwn(readers, field))
      throw unknownParam(field, [...Object.keys(readers), ...(isFiltered ? ['filter[name]'] : [])]);
    if (typeof value !== 'string') throw badParam(field, value.join(','), 'one value', 'is given more than once');
  }
  const read = Object.entries(readers).map(([field, reader]) => [field, reader(given[field] as string | undefined, field)]);
  return Object.fromEntries(read) as Values<R>;
}

const unknownParam = (field: string, known: readonly string[]): MeterError =>
  badParam(
    field.slice(0, SHOWN),
    undefined,
    known.length === 0 ? 'no parameters' : known.join(', '),
    'is not a parameter here',
  );

/** The values asked for, by name. Throws BAD_REQUEST for names that are not `allowed`. */
export function readFilter(query: unknown, allowed: readonly string[]): ReadonlyMap<string, ReadonlySet<string>> {
  const filter = new Map<string, ReadonlySet<string>>();
  for (const [field, value] of Object.entries(query as Given)) {
    const name = FILTER.exec(field)?.[1];
    if (name === undefined) continue;
    demandGroup(field, name, allowed);
    filter.set(name, new Set([value].flat()));
  }
  return filter;
}

/** Throws BAD_REQUEST for a name that a meter is not grouped by. */
export function demandGroup(field: string, name: string, allowed: readonly string[]): void {
  if (allowed.includes(name)) return;
  const names = allowed.length === 0 ? 'nothing: this meter has no group_by' : allowed.join(', ');
  throw badParam(field, name, names, 'names no property that this meter is grouped by');
}

export const text: Reader<string | undefined> = (value, field) => {
  if (value === undefined) return undefined;
  const isFine = value !== '' && Buffer.byteLength(value) <= MAX_TEXT_BYTES && !value.includes('\0');
  if (!isFine) throw badParam(field, value, `1 to ${String(MAX_TEXT_BYTES)} bytes of UTF-8 without NUL`);
  return value;
};

export const cursorText: Reader<string | undefined> = (value, field) => {
  if (value !== undefined && !/^[A-Za-z0-9_.~:-]{1,8000}$/.test(value))
    throw badParam(field, value, 'the `next` of the page before');
  return value;
};

export const whole =
  (least: number, most: number, absent: number): Reader<number> =>
  (value, field) => {
    if (value === undefined) return absent;
    const number = /^\d{1,15}$/.test(value) ? Number(value) : NaN;
    if (!(number >= least && number <= most))
      throw badParam(field, value, `a whole number from ${String(least)} to ${String(most)}`);
    return number;
  };

/** A whole number that may be left out. */
export const optional =
  (least: number, most: number): Reader<number | undefined> =>
  (value, field) =>
    value === undefined ? undefined : whole(least, most, least)(value, field);

export const oneOf =
  <T extends string>(names: readonly T[], absent: T): Reader<T> =>
  (value, field) => {
    if (value === undefined) return absent;
    const found = names.find((name) => name === value);
    if (found === undefined) throw badParam(field, value, names.join(', '));
    return found;
  };

export const flag: Reader<boolean> = (value, field) => {
  if (value !== undefined && value !== '0' && value !== '1') throw badParam(field, value, '1, 0');
  return value === '1';
};

/** Names separated by commas, none twice. */
export const names: Reader<readonly string[]> = (value, field) => {
  if (value === undefined) return [];
  const found = value.split(',');
  if (found.includes('') || new Set(found).size < found.length)
    throw badParam(field, value, 'different names, separated by commas');
  return found;
};

/** Microseconds since 1970. */
export const time: Reader<number | undefined> = (value, field) => {
  if (value === undefined) return undefined;
  const found = parseTime(/^\d{4}-\d\d-\d\d$/.test(value) ? `${value}T00:00Z` : value);
  if (found === undefined || !Number.isSafeInteger(found))
    throw badParam(field, value, 'ISO 8601 with its offset, such as 2026-01-31T00:00Z, or a date (in a URL + is %2B)');
  return found;
};

const MICROS_PER_HOUR = 3_600_000_000;
/** Hours since 1970. */
export const hour: Reader<number | undefined> = (value, field) => {
  const found = time(value, field);
  if (found !== undefined && found % MICROS_PER_HOUR !== 0)
    throw badParam(field, value, 'a whole hour in UTC, such as 2026-01-31T00:00Z, or a date');
  return found === undefined ? undefined : found / MICROS_PER_HOUR;
};

const PAGE_ROWS = 100;
const MAX_PAGE_ROWS = 1000;

/** Of every list that comes in pages. */
export const pageParams = { limit: whole(1, MAX_PAGE_ROWS, PAGE_ROWS), cursor: cursorText };

/** Of lists that may be narrowed to a range of time. */
export const rangeParams = (at: Reader<number | undefined>) => ({ tenant: text, event_type: text, from: at, to: at });
