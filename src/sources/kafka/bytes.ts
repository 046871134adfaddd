/** The flexible encoding of Kafka's newer requests (KIP-482): compact strings and arrays, uuids, tagged fields. */
import { MeterError } from '../../errors.ts';

/** An unsigned varint: seven bits a byte, the lowest first. */
function uvarint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}

export class FlexibleWriter {
  // The tagged fields of the header (version 2), which kafkajs, of version 1, does not write: they come right before the body.
  readonly #parts: Buffer[] = [Buffer.from([0])];

  int8 = (value: number): this => this.#push(Buffer.from([value & 0xff]));
  int16(value: number): this {
    const bytes = Buffer.alloc(2);
    bytes.writeInt16BE(value);
    return this.#push(bytes);
  }
  int32(value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(value);
    return this.#push(bytes);
  }
  int64(value: number): this {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64BE(BigInt(value));
    return this.#push(bytes);
  }
  uuid = (hex: string): this => this.#push(Buffer.from(hex.replaceAll('-', ''), 'hex'));
  string = (text: string): this => this.bytes(Buffer.from(text));
  bytes = (bytes: Buffer): this => this.#push(uvarint(bytes.length + 1)).#push(bytes);
  /** For a string, an array or bytes. */
  nothing = (): this => this.#push(Buffer.from([0]));
  /** The length of an array; its entries follow. */
  array = (length: number): this => this.#push(uvarint(length + 1));
  /** Of every structure, the last: none. */
  tags = (): this => this.#push(Buffer.from([0]));

  finish(): Buffer {
    return Buffer.concat(this.#parts);
  }

  #push(bytes: Buffer): this {
    this.#parts.push(bytes);
    return this;
  }
}

export class FlexibleReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    // The tagged fields of the response's header (version 1).
    this.tags();
  }

  int16 = (): number => this.#bytes.readInt16BE(this.#take(2));
  int32 = (): number => this.#bytes.readInt32BE(this.#take(4));
  int64 = (): bigint => this.#bytes.readBigInt64BE(this.#take(8));
  /** An int64 that counts records: exact up to 2^53. */
  offset(): number {
    const value = Number(this.int64());
    if (!Number.isSafeInteger(value)) throw new MeterError('LOG_DISORDER', `read Kafka: an offset of ${String(value)}`);
    return value;
  }
  bool = (): boolean => this.#bytes.readInt8(this.#take(1)) !== 0;
  uuid(): string {
    const hex = this.#slice(16).toString('hex');
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  }
  string = (): string => this.bytes().toString();
  /** Empty where it is null. */
  bytes = (): Buffer => this.#slice(Math.max(this.#uvarint() - 1, 0));
  array<T>(entry: () => T): T[] {
    return Array.from({ length: Math.max(this.#uvarint() - 1, 0) }, entry);
  }
  tags(): void {
    for (let left = this.#uvarint(); left > 0; left -= 1) {
      this.#uvarint();
      this.#slice(this.#uvarint());
    }
  }

  #take(length: number): number {
    const at = this.#at;
    this.#at += length;
    return at;
  }

  #slice(length: number): Buffer {
    const at = this.#take(length);
    if (this.#at > this.#bytes.length) throw new RangeError('read Kafka: the answer breaks off');
    return this.#bytes.subarray(at, this.#at);
  }

  #uvarint(): number {
    for (let value = 0, shift = 0; ; shift += 7) {
      const byte = this.#bytes.readUInt8(this.#take(1));
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  }
}
