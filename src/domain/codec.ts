/**
 * Blocks of Avro containers, compressed. Apache Avro 1.12 specification, "Required Codecs" and "Optional Codecs". What these
 * libraries emit may differ from one version to the next: records are compared where bytes are not equal (sinks/archive).
 */
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { MeterError } from '../errors.ts';
import type { Codec } from './segment.ts';

interface Squeeze {
  readonly pack: (bytes: Buffer) => Promise<Buffer>;
  /** Throws where the bytes are not what `pack` makes. */
  readonly unpack: (bytes: Buffer) => Promise<Buffer>;
}

/** A block ends with the record that reaches one MiB: what unpacks to more than this is none of ours. */
const MAX_BLOCK_BYTES = 64 * 1024 * 1024;

type Zip = (bytes: Buffer, options: zlib.ZlibOptions, done: (error: Error | null, result: Buffer) => void) => void;
const zipped = (zip: Zip): ((bytes: Buffer) => Promise<Buffer>) => {
  const run = promisify<Buffer, zlib.ZlibOptions, Buffer>(zip);
  return (bytes) => run(bytes, { maxOutputLength: MAX_BLOCK_BYTES });
};

const deflate: Squeeze = { pack: zipped(zlib.deflateRaw), unpack: zipped(zlib.inflateRaw) };

const CRC_BYTES = 4;

const snappy: Squeeze = {
  pack: async (bytes) => {
    const { compress } = await import('snappy');
    const crc = Buffer.alloc(CRC_BYTES);
    crc.writeUInt32BE(zlib.crc32(bytes));
    return Buffer.concat([await compress(bytes), crc]);
  },
  unpack: async (bytes) => {
    const { uncompress } = await import('snappy');
    const packed = bytes.subarray(0, -CRC_BYTES);
    if (snappyLength(packed) > MAX_BLOCK_BYTES) throw new RangeError('a block of a length that none has');
    const plain = Buffer.from(await uncompress(packed));
    if (zlib.crc32(plain) !== bytes.readUInt32BE(packed.length)) throw new RangeError('the checksum of a block is another');
    return plain;
  },
};

/** What it will unpack to: a number in front, seven bits a byte, the least first. */
function snappyLength(packed: Buffer): number {
  let length = 0;
  for (const [n, byte] of packed.subarray(0, 5).entries()) {
    length += (byte & 0x7f) * 2 ** (7 * n);
    if (byte < 0x80) return length;
  }
  throw new RangeError('a block that does not begin with its length');
}

/** Node has Zstandard from 22.15 on; the types of the oldest Node that is supported do not know it. */
const { zstdCompress, zstdDecompress } = zlib as { readonly zstdCompress?: Zip; readonly zstdDecompress?: Zip };

const withoutZstd = (): Promise<never> =>
  Promise.reject(
    new MeterError('ARCHIVE_MISCONFIGURED', `compress by zstandard: Node ${process.versions.node} has no Zstandard`, {
      allowed: 'Node 22.15 or later, or an archive format with another codec',
    }),
  );

export const hasZstd = zstdCompress !== undefined;

const zstandard: Squeeze =
  zstdCompress === undefined || zstdDecompress === undefined
    ? { pack: withoutZstd, unpack: withoutZstd }
    : { pack: zipped(zstdCompress), unpack: zipped(zstdDecompress) };

export const CODECS: ReadonlyMap<string, Squeeze> = new Map<Exclude<Codec, 'null'>, Squeeze>([
  ['deflate', deflate],
  ['snappy', snappy],
  ['zstandard', zstandard],
]);
