/** Record batches, as they are sent; batches.ts has their layout. One buffer for all records: kafkajs makes one for each. */
import { crc32c } from '@node-rs/crc32';
import { AT, LENGTH_ENDS, MAGIC } from './batches.ts';
import { codecs } from './kafkajs.ts';

export interface OutgoingRecord {
  readonly key: Buffer | null;
  readonly value: Buffer;
  /** Names and values, one after the other. */
  readonly headers: readonly Buffer[];
}

export interface BatchFields {
  readonly compression: number;
  /** The producer's; the broker puts its own in its place. */
  readonly timestamp: number;
  readonly producerId: string;
  readonly producerEpoch: number;
  readonly firstSequence: number;
}

export async function encodeBatch(records: readonly OutgoingRecord[], fields: BatchFields): Promise<Buffer> {
  const plain = encodeRecords(records);
  const codec = codecs[fields.compression];
  const packed = codec === undefined ? plain : await codec().compress({ buffer: plain });
  const batch = Buffer.concat([Buffer.alloc(AT.records), packed]);
  batch.writeInt32BE(batch.length - LENGTH_ENDS, AT.length);
  batch.writeInt32BE(-1, AT.leaderEpoch);
  batch.writeInt8(MAGIC, AT.magic);
  batch.writeInt16BE(fields.compression, AT.attributes);
  batch.writeInt32BE(records.length - 1, AT.lastDelta);
  batch.writeBigInt64BE(BigInt(fields.timestamp), AT.firstTime);
  batch.writeBigInt64BE(BigInt(fields.timestamp), AT.greatestTime);
  batch.writeBigInt64BE(BigInt(fields.producerId), AT.producer);
  batch.writeInt16BE(fields.producerEpoch, AT.producerEpoch);
  batch.writeInt32BE(fields.firstSequence, AT.firstSequence);
  batch.writeInt32BE(records.length, AT.count);
  batch.writeUInt32BE(crc32c(batch.subarray(AT.attributes)), AT.crc);
  return batch;
}

const zigzag = (value: number): number => ((value << 1) ^ (value >> 31)) >>> 0;
/** Bytes of a varint of seven bits each. */
const sizeOf = (value: number): number => Math.max(Math.ceil((32 - Math.clz32(zigzag(value))) / 7), 1);
const sizeOfField = (field: Buffer | null): number => (field === null ? 1 : sizeOf(field.length) + field.length);

/** Attributes and time delta, a byte each, then the rest. */
function sizeOfRecord({ key, value, headers }: OutgoingRecord, delta: number): number {
  const fields = headers.reduce((sum, field) => sum + sizeOfField(field), sizeOf(headers.length / 2));
  return 2 + sizeOf(delta) + sizeOfField(key) + sizeOfField(value) + fields;
}

function encodeRecords(records: readonly OutgoingRecord[]): Buffer {
  const sizes = records.map(sizeOfRecord);
  const bytes = Buffer.allocUnsafe(sizes.reduce((sum, size) => sum + sizeOf(size) + size, 0));
  let at = 0;
  const varint = (value: number): void => {
    let rest = zigzag(value);
    for (; rest > 0x7f; rest >>>= 7) bytes[at++] = (rest & 0x7f) | 0x80;
    bytes[at++] = rest;
  };
  const field = (of: Buffer | null): void => {
    varint(of?.length ?? -1);
    at += of?.copy(bytes, at) ?? 0;
  };
  records.forEach(({ key, value, headers }, delta) => {
    varint(sizes[delta] ?? 0);
    bytes[at++] = 0;
    bytes[at++] = 0;
    varint(delta);
    field(key);
    field(value);
    varint(headers.length / 2);
    headers.forEach(field);
  });
  return bytes;
}
