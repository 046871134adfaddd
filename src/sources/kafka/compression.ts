/** The codecs of record batches that kafkajs leaves out: snappy, lz4 and zstd. Bounded by what a batch may hold. */
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { decompress as unpackZstd } from 'fzstd';
import lz4 from 'lz4-napi';
import snappy from 'snappy';
import { MeterError } from '../../errors.ts';
import { type Codec, codecs } from './kafkajs.ts';

/** As record batches number them. */
export const COMPRESSION = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const;
export type Compression = keyof typeof COMPRESSION;

/** snappy-java's framing, in which Kafka's clients write: a header, then blocks with their lengths. Others write one block bare. */
const SNAPPY_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const SNAPPY_HEADER = Buffer.concat([SNAPPY_MAGIC, Buffer.from([0, 0, 0, 1, 0, 0, 0, 1])]);
const SNAPPY_BLOCK = 32 * 1024;

function lengthOf(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(bytes.length);
  return length;
}

async function packSnappy(bytes: Buffer): Promise<Buffer> {
  const parts: Buffer[] = [SNAPPY_HEADER];
  for (let at = 0; at < bytes.length; at += SNAPPY_BLOCK) {
    const block = await snappy.compress(bytes.subarray(at, at + SNAPPY_BLOCK));
    parts.push(lengthOf(block), block);
  }
  return Buffer.concat(parts);
}

async function unpackSnappy(bytes: Buffer): Promise<Buffer> {
  const unpack = (block: Buffer): Promise<Buffer> => snappy.uncompress(block, { asBuffer: true }) as Promise<Buffer>;
  if (!bytes.subarray(0, SNAPPY_MAGIC.length).equals(SNAPPY_MAGIC)) return unpack(bytes);
  const blocks: Buffer[] = [];
  for (let at = SNAPPY_HEADER.length; at < bytes.length;) {
    const from = at + 4;
    at = from + bytes.readInt32BE(at);
    blocks.push(await unpack(bytes.subarray(from, at)));
  }
  return Buffer.concat(blocks);
}

type Zstd = (bytes: Buffer) => Promise<Buffer>;
/** Node has it from 22.15 on; until then there is a decoder in JavaScript, and no encoder. */
const native = zlib as unknown as { readonly [name in 'zstdCompress' | 'zstdDecompress']?: unknown };
const promised = (run: unknown): Zstd | undefined =>
  typeof run === 'function' ? (promisify(run as (bytes: Buffer) => void) as unknown as Zstd) : undefined;
const zstd = { pack: promised(native.zstdCompress), unpack: promised(native.zstdDecompress) };

const unpackSlowly: Zstd = (bytes) => Promise.resolve(Buffer.from(unpackZstd(bytes)));

/** Throws BAD_CONFIG for zstd where this Node cannot write it. */
export function demandCompression(compression: Compression): number {
  if (compression === 'zstd' && zstd.pack === undefined) {
    throw new MeterError('BAD_CONFIG', 'open Kafka: this version of Node cannot write zstd', {
      field: 'compression',
      value: compression,
      allowed: 'lz4, or Node 22.15 or later',
    });
  }
  return COMPRESSION[compression];
}

const codec = (pack: (bytes: Buffer) => Promise<Buffer>, unpack: (bytes: Buffer) => Promise<Buffer>): (() => Codec) => {
  const both = { compress: ({ buffer }: { readonly buffer: Buffer }) => pack(buffer), decompress: unpack };
  return () => both;
};

/** Puts them where kafkajs looks for them. Again, it changes nothing. */
export function registerCodecs(): void {
  codecs[COMPRESSION.snappy] = codec(packSnappy, unpackSnappy);
  codecs[COMPRESSION.lz4] = codec(
    (bytes) => lz4.compressFrame(bytes),
    (bytes) => lz4.decompressFrame(bytes),
  );
  codecs[COMPRESSION.zstd] = codec(zstd.pack ?? unpackSlowly, zstd.unpack ?? unpackSlowly);
}
