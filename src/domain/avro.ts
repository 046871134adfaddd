/** Avro: events as single objects in the log, records as containers in the archive. Apache Avro 1.12 specification. */
import { createHash } from 'node:crypto';
import avsc from 'avsc';
import { asError, MeterError } from '../errors.ts';
import { formatDecimal, PRECISION } from './decimal.ts';
import { checkId, checkProperties, type UsageEvent } from './event.ts';
import { fault, type Fault, isFault } from './fault.ts';
import { parseJsonText } from './json.ts';
import { formatTime } from './time.ts';
import {
  type ArchiveRecord,
  buffer,
  canonicalSchema,
  eventType,
  fingerprint,
  fromWire,
  type RecordSchema,
  recordSchemaFor,
  recordSchemaOf,
  toWire,
  type WireEvent,
  type WireRecord,
} from './wire.ts';

export type { ArchiveRecord } from './wire.ts';

// ------------------------------------------------------------------------------------------------------- single objects

const MARKER = Buffer.concat([Buffer.from([0xc3, 0x01]), fingerprint(canonicalSchema(eventType))]);

/** An event as the value of a record of the log. */
export const encodeEvent = (event: UsageEvent): Uint8Array => encodeWireEvent(eventType.toBuffer(toWire(event)));

/** The same for what is written in the event's schema already. */
export const encodeWireEvent = (body: Buffer): Uint8Array => Buffer.concat([MARKER, body]);

/** The event, or why the bytes are none. Fields pass the same checks as at the edge: a foreign writer may have skipped them. */
export function decodeEvent(bytes: Uint8Array): UsageEvent | Fault {
  const value = buffer(bytes);
  const marker = value.subarray(0, MARKER.length);
  if (!marker.equals(MARKER))
    return fault('UNDECODABLE', '', marker.toString('hex'), 'neither JSON nor an event of a known schema');
  const body = value.subarray(MARKER.length);
  let wire: WireEvent;
  try {
    wire = eventType.fromBuffer(body) as WireEvent;
  } catch (error) {
    const begins = body.subarray(0, 100).toString('hex');
    return fault('UNDECODABLE', '', begins, `not an event of schema v1: ${asError(error).message}`);
  }
  return checkUtf8(wire, body) ?? checkDigits(wire) ?? recheck(fromWire(wire));
}

/**
 * A Buffer reads bytes that are not UTF-8 as U+FFFD, which would make two keys one. Where one shows up, writing the event
 * again tells whether it was there.
 */
function checkUtf8(wire: WireEvent, body: Buffer): Fault | undefined {
  const strange = Object.entries(wire).find(([, value]) => typeof value === 'string' && value.includes('\ufffd'));
  if (strange === undefined || eventType.toBuffer(wire).equals(body)) return undefined;
  return fault('BAD_TEXT', strange[0], strange[1], `${strange[0]} is not UTF-8`);
}

const QUANTITY_LIMIT = 10n ** BigInt(PRECISION);
/** 10^38 takes 127 bits and a sign: 16 bytes. Longer ones may be very long, and are not made into a number. */
const QUANTITY_BYTES = 16;

const checkDigits = ({ quantity }: WireEvent): Fault | undefined =>
  quantity.length > QUANTITY_BYTES ? fault('TOO_MANY_DIGITS', 'quantity', `${String(quantity.length)} bytes`) : undefined;

/** The checks of the edge, on what is already typed. Properties must be canonical, else equal content would differ. */
function recheck(event: UsageEvent): UsageEvent | Fault {
  const { quantity, timestamp } = event;
  const wrongId =
    faultOf(checkId('tenant_id', event.tenant)) ??
    faultOf(checkId('event_type', event.type)) ??
    faultOf(checkId('idempotency_key', event.key)) ??
    (event.subject === null ? undefined : faultOf(checkId('subject', event.subject)));
  if (wrongId !== undefined) return wrongId;
  if (quantity < 0n) return fault('NEGATIVE_QUANTITY', 'quantity', formatDecimal(quantity));
  if (quantity >= QUANTITY_LIMIT) return fault('TOO_MANY_DIGITS', 'quantity', formatDecimal(quantity));
  if (timestamp < 0) return fault('TIME_BEFORE_1970', 'event_timestamp', formatTime(timestamp));
  return event.properties === '{}' ? event : (wrongProperties(event.properties) ?? event);
}

const faultOf = (checked: string | Fault): Fault | undefined => (isFault(checked) ? checked : undefined);

function wrongProperties(text: string): Fault | undefined {
  let parsed: unknown;
  try {
    parsed = parseJsonText(text);
  } catch (error) {
    return fault('UNDECODABLE', 'properties', text, `properties are no JSON: ${asError(error).message}`);
  }
  const canonical = checkProperties(parsed);
  if (isFault(canonical)) return canonical;
  return canonical === text ? undefined : fault('UNDECODABLE', 'properties', text, 'properties are not canonical JSON');
}

// ----------------------------------------------------------------------------------------------------------- containers

export const MAGIC = Buffer.from([0x4f, 0x62, 0x6a, 0x01]);
const SYNC_BYTES = 16;
/** A block ends with the record that reaches one of these. They are part of the archive format: other ones, other bytes. */
const BLOCK_RECORDS = 500;
const BLOCK_BYTES = 1024 * 1024;

/** avsc goes on behind the end of the bytes for as many entries as a map's count says: a damaged one would hold it for days. */
class Present extends avsc.types.LogicalType {
  protected override _fromValue(value: unknown): unknown {
    if (value === undefined) throw damaged('an entry of its header breaks off');
    return value;
  }
  protected override _toValue(value: unknown): unknown {
    return value;
  }
}
export const headerType = avsc.Type.forSchema(
  {
    type: 'record',
    name: 'Header',
    fields: [
      { name: 'meta', type: { type: 'map', values: { type: 'bytes', logicalType: 'present' } } },
      { name: 'sync', type: { type: 'fixed', name: 'Sync', size: SYNC_BYTES } },
    ],
  },
  { logicalTypes: { present: Present } },
);
export const blockType = avsc.Type.forSchema({
  type: 'record',
  name: 'Block',
  fields: [
    { name: 'count', type: 'long' },
    { name: 'data', type: 'bytes' },
    { name: 'sync', type: { type: 'fixed', name: 'BlockSync', size: SYNC_BYTES } },
  ],
});

export interface Header {
  readonly meta: Readonly<Record<string, Buffer>>;
  readonly sync: Buffer;
}
export interface Block {
  readonly count: number;
  readonly data: Buffer;
  readonly sync: Buffer;
}

/** What a segment is: its metadata carry these, and the number of its records, under `meterfold.`. */
export interface SegmentHeader {
  readonly lineage: string;
  readonly start: string;
  readonly format: number;
}

/** Sixteen bytes that belong to this segment alone, so that the same log always gives the same bytes. */
const syncMarker = ({ lineage, start }: Pick<SegmentHeader, 'lineage' | 'start'>): Buffer =>
  createHash('sha256').update(`${lineage}\n${start}`).digest().subarray(0, SYNC_BYTES);

/** An Avro object container, codec null. The bytes are a function of the arguments. */
export function encodeSegment(records: readonly ArchiveRecord[], header: SegmentHeader): Uint8Array {
  const sync = syncMarker(header);
  const schema = recordSchemaOf(header.format);
  const meta = {
    'avro.schema': Buffer.from(schema.text),
    'avro.codec': Buffer.from('null'),
    'meterfold.lineage': Buffer.from(header.lineage),
    'meterfold.start': Buffer.from(header.start),
    'meterfold.format': Buffer.from(String(header.format)),
    // A container that breaks off behind a block is a container too: only the count tells.
    'meterfold.records': Buffer.from(String(records.length)),
  };
  const parts = [MAGIC, headerType.toBuffer({ meta, sync })];
  for (const block of blocksOf(records, schema)) {
    parts.push(blockType.toBuffer({ count: block.length, data: Buffer.concat(block), sync }));
  }
  return Buffer.concat(parts);
}

function* blocksOf(records: readonly ArchiveRecord[], { type }: RecordSchema): Generator<readonly Buffer[]> {
  let block: Buffer[] = [];
  let bytes = 0;
  for (const { position, arrival, key, verdict, rules, event, value } of records) {
    // Field by field: a spread takes more than half of the time.
    const [wireEvent, bytesOfValue] = [event && toWire(event), value && buffer(value)];
    const wire = { position, arrival, key, verdict, rules, event: wireEvent, value: bytesOfValue, key_id: null };
    const encoded = type.toBuffer(wire);
    block.push(encoded);
    bytes += encoded.length;
    if (block.length < BLOCK_RECORDS && bytes < BLOCK_BYTES) continue;
    yield block;
    block = [];
    bytes = 0;
  }
  if (block.length > 0) yield block;
}

export const damaged = (what: string, cause?: unknown): MeterError =>
  new MeterError('ARCHIVE_DAMAGED', `decode a segment: ${what}`, { cause });

/**
 * The records of a container that `encodeSegment` made (objects of the archive may be compressed: src/domain/object.ts).
 * Throws ARCHIVE_DAMAGED for anything else. A changed bit inside a
 * record may pass: only the sha-256 of the manifest finds it.
 */
export function decodeSegment(bytes: Uint8Array): ArchiveRecord[] {
  const file = buffer(bytes);
  if (!file.subarray(0, MAGIC.length).equals(MAGIC)) throw damaged('it does not begin as an Avro container');
  try {
    return decodeBlocks(file);
  } catch (error) {
    throw error instanceof MeterError ? error : damaged('it breaks off, or a record is not of the schema', error);
  }
}

/** One value and where the next begins. Throws where the bytes break off. */
export function decodeAt(
  type: avsc.Type,
  bytes: Buffer,
  at: number,
  what: string,
): { readonly value: unknown; readonly next: number } {
  const { value, offset } = type.decode(bytes, at) as { readonly value: unknown; readonly offset: number };
  // avsc says so by a negative offset.
  if (offset < 0) throw damaged(`${what} at byte ${String(at)} breaks off`);
  return { value, next: offset };
}

function decodeBlocks(file: Buffer): ArchiveRecord[] {
  const { value, next } = decodeAt(headerType, file, MAGIC.length, 'its header');
  const header = value as Header;
  const { count, schema } = checkHeader(header);
  const records: ArchiveRecord[] = [];
  for (let at = next; at < file.length;) {
    const read = decodeAt(blockType, file, at, 'its block');
    const block = read.value as Block;
    if (!block.sync.equals(header.sync)) throw damaged(`the marker behind its block at byte ${String(at)} is another`);
    decodeBlock(block, schema, records);
    at = read.next;
  }
  if (records.length !== count)
    throw damaged(`it holds ${String(records.length)} records, its header says ${String(count)}`);
  return records;
}

/** Answers how many records there must be, and their schema. */
function checkHeader({ meta, sync }: Header): { readonly count: number; readonly schema: RecordSchema } {
  const text = (name: string): string => (meta[name] ?? Buffer.alloc(0)).toString();
  if (text('avro.codec') !== 'null') throw damaged(`its codec is ${text('avro.codec')}, not null`);
  const schema = recordSchemaFor(text('avro.schema'));
  if (schema === undefined) throw damaged('its schema is none that this version knows');
  const expected = syncMarker({ lineage: text('meterfold.lineage'), start: text('meterfold.start') });
  if (!sync.equals(expected)) throw damaged('its marker is not that of its lineage and start');
  return { count: Number(text('meterfold.records')), schema };
}

function decodeBlock({ data, count }: Block, { type }: RecordSchema, into: ArchiveRecord[]): void {
  let at = 0;
  for (let n = 0; n < count; n += 1) {
    const read = decodeAt(type, data, at, 'a record of a block');
    const { position, arrival, key, verdict, rules, event, value, key_id: encrypted } = read.value as WireRecord;
    if (encrypted) throw damaged(`a record is encrypted under key ${encrypted}, which a later version reads`);
    into.push({ position, arrival, key, verdict, rules, event: event && fromWire(event), value });
    at = read.next;
  }
  if (at !== data.length) throw damaged('a block holds more bytes than its records');
}
