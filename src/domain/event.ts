/** Usage events: their form in memory, and the checks that every field passes, at the edge and again in the worker. */
import { canonicalJson } from './canonical.ts';
import { readDecimal } from './decimal.ts';
import { FUTURE_BOUND_MS } from './epoch.ts';
import { fault, type Fault, isFault } from './fault.ts';
import { UnsafeNumber } from './json.ts';
import { formatTime, parseTime } from './time.ts';

/** A usage event, validated. */
export interface UsageEvent {
  readonly tenant: string;
  readonly type: string;
  /** Scaled integer, 12 fractional digits, 0 <= quantity < 10^26 (scaled: 10^38). */
  readonly quantity: bigint;
  readonly key: string;
  /** Microseconds since 1970, UTC. */
  readonly timestamp: number;
  readonly subject: string | null;
  /** Canonical JSON text of an object: keys sorted, no white space, numbers in shortest form. */
  readonly properties: string;
}

/** Bytes of UTF-8. */
export const MAX_ID_BYTES = 256;
export const MAX_PROPERTIES_BYTES = 32 * 1024;

export const EVENT_FIELDS = [
  'tenant_id',
  'event_type',
  'quantity',
  'idempotency_key',
  'event_timestamp',
  'subject',
  'properties',
] as const;
const KNOWN: ReadonlySet<string> = new Set(EVENT_FIELDS);

/** Fields by their own names, of any type. */
export type NativeFields = Readonly<Record<string, unknown>>;

/** NUL and lone surrogates have no place in a PostgreSQL text or in UTF-8. */
export function checkText(field: string, value: string): Fault | undefined {
  return value.includes('\0') || !value.isWellFormed() ? fault('BAD_TEXT', field, JSON.stringify(value)) : undefined;
}

/** An id: 1 to 256 bytes of plain text. */
export function checkId(field: string, value: unknown): string | Fault {
  if (value === undefined || value === null) return fault('MISSING_FIELD', field, '', `${field} is required`);
  if (typeof value !== 'string') return fault('WRONG_TYPE', field, value, `${field} must be a string`);
  if (value === '') return fault('EMPTY', field, value, `${field} must not be empty`);
  // UTF-8 is at most three bytes a code unit: short texts need no count.
  if (value.length * 3 > MAX_ID_BYTES && Buffer.byteLength(value) > MAX_ID_BYTES) {
    return fault('TOO_LONG', field, value, `${field} has more than ${MAX_ID_BYTES} bytes`);
  }
  return checkText(field, value) ?? value;
}

function checkQuantity(value: unknown): bigint | Fault {
  const field = 'quantity';
  if (value === undefined || value === null) return fault('MISSING_FIELD', field, '', 'quantity is required');
  if (value instanceof UnsafeNumber) return fault('NUMBER_NEEDS_STRING', field, value.text);
  if (typeof value !== 'string' && typeof value !== 'number')
    return fault('WRONG_TYPE', field, value, 'quantity must be a string or a number');
  const read = readDecimal(String(value));
  if (typeof read === 'string') return fault(read, field, value);
  return read < 0n ? fault('NEGATIVE_QUANTITY', field, value) : read;
}

function checkTimestamp(value: unknown): number | Fault {
  const field = 'event_timestamp';
  if (value === undefined || value === null)
    return fault('MISSING_FIELD', field, '', 'event_timestamp is required; it is never filled in');
  if (typeof value !== 'string') return fault('WRONG_TYPE', field, value, 'event_timestamp must be an ISO 8601 string');
  const micros = parseTime(value);
  if (micros === undefined) return fault('BAD_TIME', field, value);
  // In 2255 microseconds leave what avsc takes for a safe integer, all below the greatest: no arrival is near it.
  if (micros >= Number.MAX_SAFE_INTEGER) return fault('TOO_FAR_IN_FUTURE', field, value);
  return micros < 0 ? fault('TIME_BEFORE_1970', field, value) : micros;
}

/** The first fault in a properties value, by path. */
function faultWithin(path: string, value: unknown): Fault | undefined {
  if (value instanceof UnsafeNumber) return fault('NUMBER_NEEDS_STRING', path, value.text);
  if (typeof value === 'string') return checkText(path, value);
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [key, inner] of Object.entries(value)) {
    const found = checkText(path, key) ?? faultWithin(`${path}.${key}`, inner);
    if (found !== undefined) return found;
  }
  return undefined;
}

export function checkProperties(value: unknown): string | Fault {
  if (value === undefined || value === null) return '{}';
  if (typeof value !== 'object' || Array.isArray(value))
    return fault('WRONG_TYPE', 'properties', value, 'properties must be an object');
  const found = faultWithin('properties', value);
  if (found !== undefined) return found;
  const text = canonicalJson(value);
  return Buffer.byteLength(text) > MAX_PROPERTIES_BYTES ? fault('PROPERTIES_TOO_LARGE', 'properties', text) : text;
}

/** Checks every field; the first fault is the answer. */
export function checkEvent(fields: NativeFields): UsageEvent | Fault {
  if (fields instanceof UnsafeNumber) return fault('NOT_AN_OBJECT', '', fields);
  for (const name of Object.keys(fields)) {
    if (!KNOWN.has(name)) return fault('UNKNOWN_FIELD', name, fields[name], `known fields: ${EVENT_FIELDS.join(', ')}`);
  }
  const tenant = checkId('tenant_id', fields.tenant_id);
  if (isFault(tenant)) return tenant;
  const type = checkId('event_type', fields.event_type);
  if (isFault(type)) return type;
  const key = checkId('idempotency_key', fields.idempotency_key);
  if (isFault(key)) return key;
  const subject = fields.subject === undefined || fields.subject === null ? null : checkId('subject', fields.subject);
  if (isFault(subject)) return subject;
  const quantity = checkQuantity(fields.quantity);
  if (isFault(quantity)) return quantity;
  const timestamp = checkTimestamp(fields.event_timestamp);
  if (isFault(timestamp)) return timestamp;
  const properties = checkProperties(fields.properties);
  if (isFault(properties)) return properties;
  return { tenant, type, quantity, key, timestamp, subject, properties };
}

/** Bounds on the event's time: against the edge's clock, or against the arrival of its record. Both in ms. */
export function checkTime(
  { timestamp }: UsageEvent,
  nowMs: number,
  bounds: { readonly pastBoundMs?: number } = {},
): Fault | undefined {
  const refuse = (code: 'TOO_FAR_IN_FUTURE' | 'TOO_OLD'): Fault => fault(code, 'event_timestamp', formatTime(timestamp));
  if (timestamp > (nowMs + FUTURE_BOUND_MS) * 1000) return refuse('TOO_FAR_IN_FUTURE');
  const { pastBoundMs } = bounds;
  return pastBoundMs !== undefined && timestamp < (nowMs - pastBoundMs) * 1000 ? refuse('TOO_OLD') : undefined;
}
