/** MessagePack as the scripts read and write it: whole numbers up to 2^53, text, lists and maps. */

/** Writes into one growing buffer. Text is of one byte a character (latin1) unless it is given as bytes. */
export class Packer {
  #buffer: Buffer;
  #at = 0;

  constructor(bytes = 4096) {
    this.#buffer = Buffer.allocUnsafe(bytes);
  }

  list(length: number): this {
    return this.#head(0xdd, length);
  }

  map(length: number): this {
    return this.#head(0xdf, length);
  }

  int(value: number): this {
    this.#room(9);
    const buffer = this.#buffer;
    if (value >= 0 && value < 0x80) buffer[this.#at++] = value;
    else if (value >= 0 && value < 0x10000) {
      buffer[this.#at++] = 0xcd;
      buffer[this.#at++] = value >>> 8;
      buffer[this.#at++] = value & 0xff;
    } else {
      // A double is exact up to 2^53, which is all that Lua has.
      buffer[this.#at++] = 0xcb;
      this.#at = buffer.writeDoubleBE(value, this.#at);
    }
    return this;
  }

  ints(values: readonly number[]): this {
    this.list(values.length);
    for (const value of values) this.int(value);
    return this;
  }

  text(value: string, encoding: 'latin1' | 'utf8' = 'latin1'): this {
    const length = encoding === 'latin1' ? value.length : Buffer.byteLength(value);
    this.#head(0xdb, length);
    this.#room(length);
    this.#at += this.#buffer.write(value, this.#at, encoding);
    return this;
  }

  /** What was written. */
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }

  #head(tag: number, length: number): this {
    this.#room(5);
    this.#buffer[this.#at] = tag;
    this.#at = this.#buffer.writeUInt32BE(length, this.#at + 1);
    return this;
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + bytes));
    this.#buffer.copy(grown, 0, 0, this.#at);
    this.#buffer = grown;
  }
}

export type Unpacked = number | Buffer | readonly Unpacked[] | ReadonlyMap<string, Unpacked>;

/** Reads what the cmsgpack of Redis writes. Throws RangeError for what it never does. */
export function unpack(bytes: Buffer): Unpacked {
  const reader = new Unpacker(bytes);
  const value = reader.value();
  reader.end();
  return value;
}

class Unpacker {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw new RangeError('bytes behind a value');
  }

  value(): Unpacked {
    const tag = this.#uint(1);
    if (tag < 0x80) return tag;
    if (tag < 0x90) return this.#map(tag & 0x0f);
    if (tag < 0xa0) return this.#list(tag & 0x0f);
    if (tag < 0xc0) return this.#text(tag & 0x1f);
    if (tag >= 0xe0) return tag - 0x100;
    return this.#long(tag);
  }

  #long(tag: number): Unpacked {
    switch (tag) {
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#uint(1 << (tag - 0xcc));
      case 0xcf:
        return Number(this.#take(8).readBigUInt64BE());
      case 0xd0:
      case 0xd1:
      case 0xd2: {
        const size = 1 << (tag - 0xd0);
        return this.#take(size).readIntBE(0, size);
      }
      case 0xd3:
        return Number(this.#take(8).readBigInt64BE());
      case 0xcb:
        return this.#take(8).readDoubleBE();
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#uint(1 << (tag - 0xd9)));
      case 0xdc:
        return this.#list(this.#uint(2));
      case 0xdd:
        return this.#list(this.#uint(4));
      case 0xde:
        return this.#map(this.#uint(2));
      case 0xdf:
        return this.#map(this.#uint(4));
      default:
        throw new RangeError(`MessagePack of type ${tag}, which no script writes`);
    }
  }

  #list(length: number): Unpacked[] {
    return Array.from({ length }, () => this.value());
  }

  #map(length: number): ReadonlyMap<string, Unpacked> {
    const entries = Array.from({ length }, () => {
      const key = this.value();
      if (!Buffer.isBuffer(key)) throw new RangeError('a map whose key is no text');
      return [key.toString(), this.value()] as const;
    });
    return new Map(entries);
  }

  #text(length: number): Buffer {
    return this.#take(length);
  }

  #uint(size: number): number {
    return this.#take(size).readUIntBE(0, size);
  }

  #take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw new RangeError('a value that is cut off');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
