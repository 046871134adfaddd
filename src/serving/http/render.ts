/** Events, records and rejects as JSON: the form in which the native edge takes them. */
import type { LogRecord } from '../../contract.ts';
import { decodeEvent } from '../../domain/avro.ts';
import { formatDecimal } from '../../domain/decimal.ts';
import { isFault } from '../../domain/fault.ts';
import { nativeOf } from '../../domain/native.ts';
import { formatTime } from '../../domain/time.ts';
import type { Decoded } from '../../processors/decode.ts';
import type { ListedHour, ListedReject } from './ports.ts';

/** ISO 8601, UTC, of milliseconds since 1970. */
export const isoOf = (ms: number): string => formatTime(ms * 1000);

export const eventJson = nativeOf;

const MS_PER_HOUR = 3_600_000;
export const hourJson = ({ tenant, eventType, hour, total, count }: ListedHour) => ({
  tenant_id: tenant,
  event_type: eventType,
  hour: isoOf(hour * MS_PER_HOUR),
  total_quantity: formatDecimal(total),
  event_count: count,
});

const base64 = (value: Uint8Array): string => Buffer.from(value.buffer, value.byteOffset, value.length).toString('base64');

/** A record of the raw log. `arrival` is the broker's own, not its running maximum. */
export function recordJson({ position, arrival, key, value, control }: LogRecord, { event, fault }: Decoded) {
  const place = { position, arrival: isoOf(arrival), key };
  if (control !== undefined) return { ...place, kind: control.type };
  if (event !== undefined) return { ...place, kind: 'event', event: eventJson(event) };
  return { ...place, kind: 'undecodable', code: fault?.code, reason: fault?.reason, value_base64: base64(value) };
}

const OPENING_BRACE = 0x7b;

/** What was kept: an event that could be read, the text of native JSON as it came, or the bytes. */
function keptJson(value: Uint8Array) {
  if (value[0] === OPENING_BRACE) return { value_text: Buffer.from(value).toString() };
  const event = decodeEvent(value);
  return isFault(event) ? { value_base64: base64(value) } : { event: eventJson(event) };
}

export const rejectJson = ({ value, tenant, eventType, arrival, redrivenAt, ...reject }: ListedReject) => ({
  ...reject,
  tenant_id: tenant,
  event_type: eventType,
  arrival: isoOf(arrival),
  redriven_at: redrivenAt === null ? null : isoOf(redrivenAt),
  ...keptJson(value),
});
