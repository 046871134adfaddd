/** Avro: events as single objects in the log, records as containers in the archive. Apache Avro 1.12 specification. */
import { createHash } from 'node:crypto';
import avsc from 'avsc';
import { MeterError } from '../errors.ts';
import { checkId, checkProperties, type UsageEvent } from './event.ts';
import { fault, type Fault } from './fault.ts';
import { archiveRecordV1, usageEventV1 } from './schemas.ts';

/** A record of the archive. */
export interface ArchiveRecord {
  readonly position: string;
  /** Running maximum of arrival, ms. */
  readonly arrival: number;
  readonly key: string | null;
  readonly verdict: string;
  readonly rules: number;
  readonly event: UsageEvent | null;
  /** As it came; kept where the verdict is not `ok`. */
  readonly value: Uint8Array | null;
}

interface WireEvent {
  readonly tenant_id: string;
  readonly event_type: string;
  readonly quantity: Buffer;
  readonly idempotency_key: string;
  readonly event_timestamp: number;
  readonly subject: string | null;
  readonly properties: string;
}
type WireRecord = Omit<ArchiveRecord, 'event' | 'value'> & {
  readonly event: WireEvent | null;
  readonly value: Buffer | null;
};

const registry = {};
const options = { registry, wrapUnions: 'never', noAnonymousTypes: false } as const;
const eventType = avsc.Type.forSchema(usageEventV1 as unknown as avsc.Schema, options);
const recordType = avsc.Type.forSchema(archiveRecordV1 as unknown as avsc.Schema, options);

// ------------------------------------------------------------------------------------------------- numbers on the wire

/** Two's complement, big-endian, as few bytes as hold it (Avro's decimal logical type). */
function decimalBytes(scaled: bigint): Buffer {
  const hex = scaled.toString(16);
  const even = hex.length % 2 === 0 ? hex : `0${hex}`;
  // Quantities are not negative: a leading bit of one needs a byte of zeros in front of it.
  return Buffer.from(Number.parseInt(even.slice(0, 2), 16) > 0x7f ? `00${even}` : even, 'hex');
}

const decimalOf = (bytes: Buffer): bigint =>
  bytes.length === 0 ? 0n : BigInt.asIntN(bytes.length * 8, BigInt(`0x${bytes.toString('hex')}`));

const toWire = (e: UsageEvent): WireEvent => ({
  tenant_id: e.tenant,
  event_type: e.type,
  quantity: decimalBytes(e.quantity),
  idempotency_key: e.key,
  event_timestamp: e.timestamp,
  subject: e.subject,
  properties: e.properties,
});

const fromWire = (w: WireEvent): UsageEvent => ({
  tenant: w.tenant_id,
  type: w.event_type,
  quantity: decimalOf(w.quantity),
  key: w.idempotency_key,
  timestamp: w.event_timestamp,
  subject: w.subject,
  properties: w.properties,
});

// ------------------------------------------------------------------------------------------------------- single objects

/** CRC-64-AVRO of the schema's parsing canonical form, as the specification's Java code computes it. */
function fingerprint(text: string): Buffer {
  const empty = 0xc15d213aa4d7a795n;
  const table = Array.from({ length: 256 }, (_, n) => {
    let fp = BigInt(n);
    for (let bit = 0; bit < 8; bit += 1) fp = (fp >> 1n) ^ (empty & -(fp & 1n));
    return BigInt.asUintN(64, fp);
  });
  let fp = empty;
  for (const byte of Buffer.from(text)) fp = (fp >> 8n) ^ (table[Number((fp ^ BigInt(byte)) & 0xffn)] ?? 0n);
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, fp));
  return bytes;
}

/** The schema as published, logical types included: the event's where it is named. */
const SCHEMA_TEXT = JSON.stringify({
  ...archiveRecordV1,
  fields: archiveRecordV1.fields.map((field) =>
    field.name === 'event' ? { ...field, type: ['null', usageEventV1] } : field,
  ),
});

const canonicalSchema = (type: avsc.Type): string => JSON.stringify(type.schema({ noDeref: false }));
const MARKER = Buffer.concat([Buffer.from([0xc3, 0x01]), fingerprint(canonicalSchema(eventType))]);

/** An event as the value of a record of the log. */
export const encodeEvent = (event: UsageEvent): Uint8Array => Buffer.concat([MARKER, eventType.toBuffer(toWire(event))]);

const buffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);

/** The event, or why the bytes are none. Fields pass the same checks as at the edge: a foreign writer may have skipped them. */
export function decodeEvent(bytes: Uint8Array): UsageEvent | Fault {
  const value = buffer(bytes);
  if (!value.subarray(0, MARKER.length).equals(MARKER)) {
    return fault(
      'UNDECODABLE',
      '',
      value.subarray(0, MARKER.length).toString('hex'),
      'neither JSON nor an event of a known schema',
    );
  }
  let wire: WireEvent;
  try {
    wire = eventType.fromBuffer(value.subarray(MARKER.length)) as WireEvent;
  } catch (cause) {
    return fault(
      'UNDECODABLE',
      '',
      value.length,
      `not an event of schema v1: ${cause instanceof Error ? cause.message : String(cause)}`,
    );
  }
  return recheck(fromWire(wire));
}

const QUANTITY_LIMIT = 10n ** 38n;

/** The checks of the edge, on what is already typed. Properties must be canonical, else equal content would differ. */
function recheck(event: UsageEvent): UsageEvent | Fault {
  const ids = {
    tenant_id: event.tenant,
    event_type: event.type,
    idempotency_key: event.key,
    ...(event.subject === null ? {} : { subject: event.subject }),
  };
  for (const [field, value] of Object.entries(ids)) {
    const checked = checkId(field, value);
    if (typeof checked !== 'string') return checked;
  }
  if (event.quantity < 0n) return fault('NEGATIVE_QUANTITY', 'quantity', event.quantity.toString());
  if (event.quantity >= QUANTITY_LIMIT) return fault('TOO_MANY_DIGITS', 'quantity', event.quantity.toString());
  if (event.timestamp < 0) return fault('TIME_BEFORE_1970', 'event_timestamp', event.timestamp);
  return event.properties === '{}' ? event : recheckProperties(event);
}

function recheckProperties(event: UsageEvent): UsageEvent | Fault {
  let parsed: unknown;
  try {
    parsed = JSON.parse(event.properties);
  } catch (cause) {
    return fault('UNDECODABLE', 'properties', event.properties, `properties are no JSON: ${String(cause)}`);
  }
  const canonical = checkProperties(parsed);
  if (typeof canonical !== 'string') return canonical;
  if (canonical === event.properties) return event;
  return fault('UNDECODABLE', 'properties', event.properties, 'properties are not canonical JSON');
}

// ----------------------------------------------------------------------------------------------------------- containers

const MAGIC = Buffer.from([0x4f, 0x62, 0x6a, 0x01]);
const SYNC_BYTES = 16;
const BLOCK_RECORDS = 500;

/** One value and where the next begins; a negative offset says that the bytes break off. avsc's own types say `any`. */
interface DecodedAt<T> {
  readonly value: T;
  readonly offset: number;
}
const decodeAt = (type: avsc.Type, bytes: Buffer, at: number): unknown => type.decode(bytes, at);

const headerType = avsc.Type.forSchema({
  type: 'record',
  name: 'Header',
  fields: [
    { name: 'meta', type: { type: 'map', values: 'bytes' } },
    { name: 'sync', type: { type: 'fixed', name: 'Sync', size: SYNC_BYTES } },
  ],
});
const blockType = avsc.Type.forSchema({
  type: 'record',
  name: 'Block',
  fields: [
    { name: 'count', type: 'long' },
    { name: 'data', type: 'bytes' },
    { name: 'sync', type: { type: 'fixed', name: 'BlockSync', size: SYNC_BYTES } },
  ],
});

interface Block {
  readonly count: number;
  readonly data: Buffer;
  readonly sync: Buffer;
}

export interface SegmentHeader {
  readonly lineage: string;
  readonly start: string;
  readonly format: number;
}

/** Sixteen bytes that belong to this segment alone, so that the same log always gives the same bytes. */
const syncMarker = ({ lineage, start }: SegmentHeader): Buffer =>
  createHash('sha256').update(`${lineage}\n${start}`).digest().subarray(0, SYNC_BYTES);

/** An Avro object container, codec null, blocks of 500 records. The bytes are a function of the arguments. */
export function encodeSegment(records: readonly ArchiveRecord[], header: SegmentHeader): Uint8Array {
  const sync = syncMarker(header);
  const meta = {
    'avro.schema': Buffer.from(SCHEMA_TEXT),
    'avro.codec': Buffer.from('null'),
    'meterfold.lineage': Buffer.from(header.lineage),
    'meterfold.start': Buffer.from(header.start),
    'meterfold.format': Buffer.from(String(header.format)),
  };
  const parts = [MAGIC, headerType.toBuffer({ meta, sync })];
  for (let at = 0; at < records.length; at += BLOCK_RECORDS) {
    const block = records.slice(at, at + BLOCK_RECORDS).map((r) =>
      recordType.toBuffer({
        ...r,
        event: r.event === null ? null : toWire(r.event),
        value: r.value === null ? null : buffer(r.value),
      }),
    );
    parts.push(blockType.toBuffer({ count: block.length, data: Buffer.concat(block), sync }));
  }
  return Buffer.concat(parts);
}

const damaged = (what: string, cause?: unknown): MeterError =>
  new MeterError('ARCHIVE_DAMAGED', `decode a segment: ${what}`, { cause });

/** The records of a container that `encodeSegment` made. Throws ARCHIVE_DAMAGED for anything else. */
export function decodeSegment(bytes: Uint8Array): ArchiveRecord[] {
  const file = buffer(bytes);
  if (!file.subarray(0, MAGIC.length).equals(MAGIC)) throw damaged('it does not begin as an Avro container');
  try {
    return decodeBlocks(file);
  } catch (error) {
    throw error instanceof MeterError ? error : damaged('it breaks off, or a record is not of the schema', error);
  }
}

function decodeBlocks(file: Buffer): ArchiveRecord[] {
  const header = decodeAt(headerType, file, MAGIC.length) as DecodedAt<{ readonly sync: Buffer }>;
  if (header.offset < 0) throw damaged('its header breaks off');
  const records: ArchiveRecord[] = [];
  for (let at = header.offset; at < file.length;) {
    const { value: block, offset } = decodeAt(blockType, file, at) as DecodedAt<Block>;
    if (offset < 0) throw damaged(`its block at byte ${String(at)} breaks off`);
    if (!block.sync.equals(header.value.sync)) throw damaged(`the marker behind its block at byte ${String(at)} is another`);
    decodeBlock(block.data, block.count, records);
    at = offset;
  }
  return records;
}

function decodeBlock(data: Buffer, count: number, into: ArchiveRecord[]): void {
  let at = 0;
  for (let n = 0; n < count; n += 1) {
    const { value, offset } = decodeAt(recordType, data, at) as DecodedAt<WireRecord>;
    if (offset < 0) throw damaged('a block holds fewer records than it says');
    into.push({ ...value, event: value.event === null ? null : fromWire(value.event) });
    at = offset;
  }
  if (at !== data.length) throw damaged('a block holds more bytes than its records');
}
