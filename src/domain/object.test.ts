import { createHash } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { MeterError } from '../errors.ts';
import { type ArchiveRecord, encodeSegment } from './avro.ts';
import { hasZstd } from './codec.ts';
import { decodeObject, encodeObject } from './object.ts';

const header = (format: number) => ({ lineage: 'pg.31', start: '0', format });
const CODECS = [[5, 'snappy'], ...(hasZstd ? [[6, 'zstandard'] as const] : []), [7, 'deflate']] as const;

const recordAt = (n: number): ArchiveRecord => ({
  position: String(n).padStart(20, '0'),
  arrival: 1_795_514_403_000 + n,
  key: 'acme',
  verdict: n % 10 === 9 ? 'EMPTY' : 'ok',
  rules: 1,
  event:
    n % 10 === 9
      ? null
      : {
          ...{ tenant: 'acme', type: 'tokens', quantity: BigInt(n) * 10n ** 12n, key: `k-${n}` },
          ...{ timestamp: 1_795_514_403_000_001 + n, subject: null, properties: '{"model":"small"}' },
        },
  value: n % 10 === 9 ? Buffer.from([n % 256]) : null,
});
/** Three blocks. */
const RECORDS = Array.from({ length: 1200 }, (_, n) => recordAt(n));
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function refusal(bytes: Uint8Array): Promise<string> {
  try {
    await decodeObject(bytes);
  } catch (error) {
    if (error instanceof MeterError && error.code === 'ARCHIVE_DAMAGED')
      return error.message.slice('decode a segment: '.length);
    throw error;
  }
  return 'none';
}

/** One whose only block is as given. */
function objectWith(format: number, codec: string, block: Buffer): Buffer {
  const plain = Buffer.from(encodeSegment(RECORDS.slice(0, 1), header(format)));
  // The name of the codec stands behind its length, as zigzag numbers; the first block begins behind the marker.
  const sync = createHash('sha256').update('pg.31\n0').digest().subarray(0, 16);
  const at = plain.indexOf('avro.codec') + 'avro.codec'.length;
  const head = Buffer.concat([
    ...[plain.subarray(0, at), Buffer.from([codec.length * 2]), Buffer.from(codec)],
    plain.subarray(at + 1 + 'null'.length, plain.indexOf(sync) + 16),
  ]);
  const zigzag = (n: number): Buffer => {
    const bytes = [];
    for (let rest = n * 2; ; rest = Math.floor(rest / 128)) {
      bytes.push(rest < 128 ? rest : (rest % 128) + 128);
      if (rest < 128) return Buffer.from(bytes);
    }
  };
  return Buffer.concat([head, zigzag(1), zigzag(block.length), block, sync]);
}

describe('an object', () => {
  test('of a format without a codec is the container of its segment, as it always was', async () => {
    for (const format of [1, 2, 3, 4]) {
      const bytes = await encodeObject(RECORDS, header(format));
      expect(sha256(bytes)).toBe(sha256(encodeSegment(RECORDS, header(format))));
      expect(await decodeObject(bytes)).toEqual(RECORDS);
    }
  });

  describe.each(CODECS)('of format %i', (format, codec) => {
    test(`names ${codec}, is smaller, and is read as it was written`, async () => {
      const bytes = Buffer.from(await encodeObject(RECORDS, header(format)));
      const name = Buffer.concat([Buffer.from('avro.codec'), Buffer.from([codec.length * 2]), Buffer.from(codec)]);
      expect(bytes.includes(name)).toBe(true);
      expect(bytes.length).toBeLessThan(encodeSegment(RECORDS, header(4)).length / 2);
      expect(await decodeObject(bytes)).toEqual(RECORDS);
      expect(await decodeObject(await encodeObject([], header(format)))).toEqual([]);
    });

    test('has the same bytes at every encoding by the same library', async () => {
      const [one, other] = [await encodeObject(RECORDS, header(format)), await encodeObject(RECORDS, header(format))];
      expect(sha256(one)).toBe(sha256(other));
    });

    test('that breaks off anywhere is refused', async () => {
      const bytes = await encodeObject(RECORDS, header(format));
      const ends = Array.from({ length: bytes.length }, (_, end) => end).filter((end) => end < 40 || end % 97 === 0);
      for (const end of ends) expect(await refusal(bytes.subarray(0, end))).not.toBe('none');
    });

    test('with a byte changed is refused, or is what a changed record is: another one', async () => {
      const bytes = Buffer.from(await encodeObject(RECORDS, header(format)));
      const start = bytes.length - 6000;
      for (let at = start; at < bytes.length; at += 101) {
        const changed = Buffer.from(bytes);
        changed[at]! ^= 0x55;
        if ((await refusal(changed)) === 'none') expect(await decodeObject(changed)).not.toEqual(RECORDS);
      }
    });
  });

  test('by snappy has the bytes that every version wrote: another version of the library that emits others shows here', async () => {
    expect(sha256(await encodeObject(RECORDS, header(5)))).toBe(
      '6befd0519a927e55c25e61b7194aea21edc33742370e7a3aa3c6a9fb02cc30b0',
    );
  });

  test('whose block claims to be longer than any is refused before it is made', async () => {
    const bomb = deflateRawSync(Buffer.alloc(65 * 1024 * 1024));
    expect(await refusal(objectWith(4, 'deflate', bomb))).toBe('a block cannot be decompressed');
    const length = Buffer.from([0x80, 0x80, 0x80, 0x80, 0x08]);
    expect(await refusal(objectWith(4, 'snappy', Buffer.concat([length, Buffer.alloc(8)])))).toBe(
      'a block cannot be decompressed',
    );
    expect(await refusal(objectWith(4, 'snappy', Buffer.alloc(20, 0xff)))).toBe('a block cannot be decompressed');
  });

  test('whose snappy block has another checksum is refused', async () => {
    const { compressSync } = await import('snappy');
    const packed = Buffer.concat([Buffer.from(compressSync(Buffer.from('x'))), Buffer.alloc(4)]);
    expect(await refusal(objectWith(4, 'snappy', packed))).toBe('a block cannot be decompressed');
  });

  test('by a codec that is none of ours, or that is no container, says so', async () => {
    expect(await refusal(objectWith(4, 'bzip2', Buffer.alloc(9)))).toBe('its codec is bzip2, not null');
    expect(await refusal(Buffer.from('{}'))).toBe('it does not begin as an Avro container');
    expect(await refusal(Buffer.alloc(0))).toBe('it does not begin as an Avro container');
  });

  test.skipIf(hasZstd)('by zstandard needs a Node that has it, and says so', async () => {
    const failure = { code: 'ARCHIVE_MISCONFIGURED', detail: { allowed: expect.stringContaining('22.15') } };
    await expect(encodeObject(RECORDS, header(6))).rejects.toMatchObject(failure);
    await expect(decodeObject(objectWith(6, 'zstandard', Buffer.alloc(9)))).rejects.toMatchObject(failure);
  });
});
