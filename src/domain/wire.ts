/** Events and archive records as Avro writes them: types, numbers, fingerprint. Apache Avro 1.12 specification. */
import avsc from 'avsc';
import type { UsageEvent } from './event.ts';
import { archiveRecordV1, archiveRecordV2, usageEventV1 } from './schemas.ts';

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

/** The event under its schema's names. */
export interface WireEvent {
  readonly tenant_id: string;
  readonly event_type: string;
  readonly quantity: Buffer;
  readonly idempotency_key: string;
  readonly event_timestamp: number;
  readonly subject: string | null;
  readonly properties: string;
}
export type WireRecord = Omit<ArchiveRecord, 'event' | 'value'> & {
  readonly event: WireEvent | null;
  readonly value: Buffer | null;
  /** From version 2 on. */
  readonly key_id?: string | null;
};

const options = { registry: {}, wrapUnions: 'never', noAnonymousTypes: false } as const;
export const eventType = avsc.Type.forSchema(usageEventV1 as unknown as avsc.Schema, options);
/** One version of the archive's record, and which archive formats write it. */
export interface RecordSchema {
  readonly type: avsc.Type;
  /** As containers carry it. */
  readonly text: string;
}

/**
 * Whole, logical types included. Without the words of `doc`, which may be rewritten, while the bytes of an archive format may
 * not.
 */
const schemaText = (schema: typeof archiveRecordV1 | typeof archiveRecordV2): string =>
  JSON.stringify(
    {
      ...schema,
      fields: schema.fields.map((field) => (field.name === 'event' ? { ...field, type: ['null', usageEventV1] } : field)),
    },
    (key, value: unknown) => (key === 'doc' ? undefined : value),
  );

const typeOf = (schema: object): avsc.Type => avsc.Type.forSchema(schema as avsc.Schema, options);

export const recordType = typeOf(archiveRecordV1);
export const RECORD_SCHEMA = schemaText(archiveRecordV1);
const RECORD_V1: RecordSchema = { type: recordType, text: RECORD_SCHEMA };
/** With `key_id`, reserved for encryption by tenant. */
const RECORD_V2: RecordSchema = { type: typeOf(archiveRecordV2), text: schemaText(archiveRecordV2) };
const RECORD_SCHEMAS: readonly RecordSchema[] = [RECORD_V1, RECORD_V2];

/** The schema is part of the format: 1 and 2 write version 1 for ever. */
const FIRST_WITH_V2 = 3;
export const recordSchemaOf = (format: number): RecordSchema => (format < FIRST_WITH_V2 ? RECORD_V1 : RECORD_V2);

/** The bytes as a Buffer over the same memory: avsc takes no other. */
export const buffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);

/** Two's complement, big-endian, as few bytes as hold it (Avro's decimal logical type). */
function decimalBytes(scaled: bigint): Buffer {
  const hex = scaled.toString(16);
  const even = hex.length % 2 === 0 ? hex : `0${hex}`;
  // Quantities are not negative: a leading bit of one needs a byte of zeros in front of it.
  return Buffer.from(Number.parseInt(even.slice(0, 2), 16) > 0x7f ? `00${even}` : even, 'hex');
}

/** Bytes that readIntBE takes: up to them no text is made. */
const SHORT = 6;

function decimalOf(bytes: Buffer): bigint {
  const { length } = bytes;
  if (length === 0) return 0n;
  if (length <= SHORT) return BigInt(bytes.readIntBE(0, length));
  if (length > 2 * SHORT) return BigInt.asIntN(length * 8, BigInt(`0x${bytes.toString('hex')}`));
  const low = BigInt(bytes.readUIntBE(length - SHORT, SHORT));
  return (BigInt(bytes.readIntBE(0, length - SHORT)) << 48n) | low;
}

export const toWire = (e: UsageEvent): WireEvent => ({
  tenant_id: e.tenant,
  event_type: e.type,
  quantity: decimalBytes(e.quantity),
  idempotency_key: e.key,
  event_timestamp: e.timestamp,
  subject: e.subject,
  properties: e.properties,
});

export const fromWire = (w: WireEvent): UsageEvent => ({
  tenant: w.tenant_id,
  type: w.event_type,
  quantity: decimalOf(w.quantity),
  key: w.idempotency_key,
  timestamp: w.event_timestamp,
  subject: w.subject,
  properties: w.properties,
});

/** CRC-64-AVRO of a text, little-endian, as the specification's Java code computes it. */
export function fingerprint(text: string): Buffer {
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

/** The parsing canonical form of a type's schema. */
export const canonicalSchema = (type: avsc.Type): string => JSON.stringify(type.schema({ noDeref: false }));

/** The schema of a container, also in another writing: docs and spaces do not matter. Throws where it is none. */
export function recordSchemaFor(text: string): RecordSchema | undefined {
  const found = RECORD_SCHEMAS.find((known) => known.text === text);
  if (found !== undefined) return found;
  const canonical = canonicalSchema(avsc.Type.forSchema(JSON.parse(text) as avsc.Schema));
  return RECORD_SCHEMAS.find(({ type }) => canonicalSchema(type) === canonical);
}
