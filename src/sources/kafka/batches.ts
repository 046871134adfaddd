/**
 * Record batches, as a fetch returns them (message format 2). kafkajs's own reader leaves the checksum unread and tells
 * nothing of a batch without records, so that the position behind it would be guessed.
 *
 *     batch    base offset, length, leader epoch, magic, crc, attributes, last offset delta, first time, greatest time,
 *              producer, producer epoch, first sequence, count, records
 *     record   length, attributes, time delta, offset delta, key, value, [headers] (key, value): all varints
 */
import { crc32c } from '@node-rs/crc32';
import { MeterError } from '../../errors.ts';
import { codecs } from './kafkajs.ts';

export interface KafkaRecord {
  readonly offset: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** Most records have none. */
  readonly headers: ReadonlyMap<string, Buffer | null>;
}
export interface RecordBatch {
  readonly first: number;
  readonly last: number;
  readonly producer: bigint;
  readonly isTransactional: boolean;
  readonly isControl: boolean;
  /** The broker's time of the append, ms; undefined where the batch carries its producer's time. */
  readonly appended: number | undefined;
  readonly records: readonly KafkaRecord[];
}

/** From the start of a batch. `LENGTH` counts from behind itself. */
export const AT = {
  length: 8,
  leaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastDelta: 23,
  firstTime: 27,
  greatestTime: 35,
  producer: 43,
  producerEpoch: 51,
  firstSequence: 53,
  count: 57,
  records: 61,
} as const;
export const LENGTH_ENDS = 12;
export const MAGIC = 2;
const [CODEC, LOG_APPEND_TIME, TRANSACTIONAL, CONTROL] = [0x07, 0x08, 0x10, 0x20];

/** The whole batches; a broker cuts the last one off where it does not fit. Throws LOG_DISORDER for one that is damaged. */
export async function decodeBatches(bytes: Buffer, where: string): Promise<RecordBatch[]> {
  const batches: RecordBatch[] = [];
  for (let at = 0; at + AT.records <= bytes.length;) {
    const end = at + LENGTH_ENDS + bytes.readInt32BE(at + AT.length);
    if (end > bytes.length) break;
    batches.push(await decodeBatch(bytes.subarray(at, end), where));
    at = end;
  }
  return batches;
}

async function decodeBatch(bytes: Buffer, where: string): Promise<RecordBatch> {
  const first = Number(bytes.readBigInt64BE(0));
  const magic = bytes.readInt8(AT.magic);
  if (magic !== MAGIC) throw damaged(where, first, `message format ${magic}, of a broker before 0.11`);
  if (crc32c(bytes.subarray(AT.attributes)) !== bytes.readUInt32BE(AT.crc)) throw damaged(where, first, 'a wrong checksum');
  const attributes = bytes.readInt16BE(AT.attributes);
  const codec = attributes & CODEC;
  const packed = bytes.subarray(AT.records);
  const body = codec === 0 ? packed : await unpack(codec, packed, `${where} at ${first}`);
  return {
    first,
    last: first + bytes.readInt32BE(AT.lastDelta),
    producer: bytes.readBigInt64BE(AT.producer),
    isTransactional: (attributes & TRANSACTIONAL) !== 0,
    isControl: (attributes & CONTROL) !== 0,
    appended: (attributes & LOG_APPEND_TIME) === 0 ? undefined : Number(bytes.readBigInt64BE(AT.greatestTime)),
    records: new RecordReader(body, first).records(bytes.readInt32BE(AT.count)),
  };
}

async function unpack(codec: number, packed: Buffer, where: string): Promise<Buffer> {
  const found = codecs[codec];
  if (found === undefined)
    throw new MeterError('DATA_DIR_NEWER', `read ${where}: this version does not know codec ${codec}`);
  try {
    return await found().decompress(packed);
  } catch (cause) {
    throw new MeterError('LOG_DISORDER', `read ${where}: a batch of codec ${codec} cannot be unpacked`, { cause });
  }
}

const damaged = (where: string, first: number, fact: string): MeterError =>
  new MeterError('LOG_DISORDER', `read ${where}: the batch at ${first} has ${fact}`);

const NO_HEADERS: ReadonlyMap<string, Buffer | null> = new Map();

class RecordReader {
  readonly #bytes: Buffer;
  readonly #base: number;
  #at = 0;

  constructor(bytes: Buffer, base: number) {
    this.#bytes = bytes;
    this.#base = base;
  }

  records(count: number): KafkaRecord[] {
    const records: KafkaRecord[] = [];
    for (let n = 0; n < count; n += 1) records.push(this.#record());
    return records;
  }

  #record(): KafkaRecord {
    const length = this.#varint();
    const end = this.#at + length;
    this.#at += 1;
    this.#skipVarlong();
    const offset = this.#base + this.#varint();
    const key = this.#field();
    const value = this.#field();
    const headers = this.#headers(this.#varint());
    if (this.#at !== end)
      throw new MeterError('LOG_DISORDER', `read Kafka: the record at ${offset} is ${length} bytes long`);
    return { offset, key, value, headers };
  }

  /** Of a key that is there twice, the last one. */
  #headers(count: number): ReadonlyMap<string, Buffer | null> {
    if (count <= 0) return NO_HEADERS;
    return new Map(Array.from({ length: count }, () => [(this.#field() ?? '').toString(), this.#field()] as const));
  }

  #field(): Buffer | null {
    const length = this.#varint();
    if (length < 0) return null;
    const at = this.#at;
    this.#at += length;
    return this.#bytes.subarray(at, this.#at);
  }

  /** Zigzag: the sign is the lowest bit. */
  #varint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (value >>> 1) ^ -(value & 1);
    }
  }

  #skipVarlong(): void {
    while (this.#byte() >= 0x80);
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new RangeError(`read Kafka: a record goes on behind its batch`);
    this.#at += 1;
    return byte;
  }
}
