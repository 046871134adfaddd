import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import avsc from 'avsc';
import { compressSync } from 'snappy';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { decimalText } from './avro-values.ts';
import type { Row } from './row.ts';
import { openRows } from './rows.ts';

const SCHEMA = {
  type: 'record',
  name: 'Usage',
  fields: [
    { name: 'at', type: { type: 'long', logicalType: 'timestamp-micros' } },
    { name: 'amount', type: ['null', { type: 'bytes', logicalType: 'decimal', precision: 38, scale: 12 }] },
    { name: 'big', type: 'long' },
    { name: 'small', type: 'float' },
    { name: 'either', type: ['null', 'string', 'long'] },
    { name: 'tags', type: { type: 'map', values: ['null', 'int'] } },
    { name: 'list', type: { type: 'array', items: 'string' } },
    { name: 'id', type: { type: 'fixed', name: 'Id', size: 2 } },
  ],
} as const;
const COLUMNS = SCHEMA.fields.map(({ name }) => name);
/** 12345678901234567890.123456789012, scaled: more digits than a double keeps. */
const AMOUNT = 12_345_678_901_234_567_890_123_456_789_012n;

/** Longs of any size, for writing. */
const bigLong = avsc.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(0),
  toBuffer: (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    return bytes;
  },
  fromJSON: BigInt,
  toJSON: String,
  isValid: (value: unknown) => typeof value === 'bigint',
  compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
});
const typeOf = (schema: unknown): avsc.Type =>
  avsc.Type.forSchema(schema as avsc.Schema, {
    registry: {},
    wrapUnions: true,
    typeHook: (inner) =>
      (inner as unknown) === 'long' || (inner as { type?: unknown }).type === 'long' ? bigLong : undefined,
  });

function bytesOf(value: bigint): Buffer {
  const hex = value.toString(16);
  return Buffer.from(`00${hex.length % 2 === 0 ? '' : '0'}${hex}`, 'hex');
}
const record = (n: number): object => ({
  at: 1_700_000_000_123_456n + BigInt(n),
  amount: { bytes: bytesOf(AMOUNT) },
  big: 2n ** 62n,
  small: Math.fround(0.1),
  either: n % 2 === 0 ? { long: BigInt(n) } : { string: 'text' },
  tags: { a: { int: 1 }, b: null },
  list: ['x'],
  id: Buffer.from([0xab, n % 256]),
});

const CODECS: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  null: (bytes) => bytes,
  rot13: (bytes) => bytes,
  deflate: deflateRawSync,
  snappy: (bytes) => {
    const checksum = Buffer.alloc(4);
    checksum.writeUInt32BE(crc32(bytes));
    return Buffer.concat([compressSync(bytes), checksum]);
  },
};
const metaType = avsc.Type.forSchema({ type: 'map', values: 'bytes' });
const longType = avsc.Type.forSchema('long');
const SYNC = Buffer.alloc(16, 7);
const PER_BLOCK = 30;

let dir: string;
let path: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'meterfold-avro-'));
  path = join(dir, 'usage.bin');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function write(codec: string, records: readonly unknown[], schema: unknown = SCHEMA): Promise<Buffer> {
  const type = typeOf(schema);
  const meta = { 'avro.schema': Buffer.from(JSON.stringify(schema)), 'avro.codec': Buffer.from(codec) };
  const parts = [Buffer.from('Obj\x01'), metaType.toBuffer(meta), SYNC];
  for (let at = 0; at < records.length; at += PER_BLOCK) {
    const block = records.slice(at, at + PER_BLOCK).map((one) => type.toBuffer(one));
    const body = CODECS[codec]!(Buffer.concat(block));
    parts.push(longType.toBuffer(block.length), longType.toBuffer(body.length), body, SYNC);
  }
  const bytes = Buffer.concat(parts);
  await writeFile(path, bytes);
  return bytes;
}

async function read(columns: readonly string[] = COLUMNS): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const row of (await openRows(path, { columns, isGuarded: false })).rows) rows.push(row);
  return rows;
}

describe('rows of Avro', () => {
  test.each(['null', 'deflate', 'snappy'])('come out of blocks of codec %s, with every digit', async (codec) => {
    await write(
      codec,
      Array.from({ length: 500 }, (_, n) => record(n)),
    );
    const rows = await read();
    expect(rows).toHaveLength(500);
    expect(rows[0]).toEqual({
      row: 1,
      values: {
        at: '2023-11-14T22:13:20.123456Z',
        amount: '12345678901234567890.123456789012',
        big: '4611686018427387904',
        small: 0.1,
        either: 0,
        tags: { a: 1, b: null },
        list: ['x'],
        id: 'ab00',
      },
    });
    expect(rows[499]).toMatchObject({ row: 500, values: { either: 'text', id: 'abf3' } });
  });

  test('have times of every logical type, and null where there is none', async () => {
    const kinds = {
      a: { type: 'long', logicalType: 'timestamp-millis' },
      b: { type: 'long', logicalType: 'timestamp-nanos' },
      c: { type: 'long', logicalType: 'local-timestamp-micros' },
      d: { type: 'int', logicalType: 'date' },
      e: ['null', { type: 'long', logicalType: 'timestamp-micros' }],
      f: { type: 'long', logicalType: 'timestamp-millis' },
    };
    const fields = Object.entries(kinds).map(([name, type]) => ({ name, type }));
    const value = { a: 1_700_000_000_123n, b: 1_700_000_000_123_456_789n, c: 1_700_000_000_123_456n, d: 19_000, e: null };
    await write('null', [{ ...value, f: 2n ** 62n }], { type: 'record', name: 'Times', fields });
    expect((await read(Object.keys(kinds)))[0]?.values).toEqual({
      a: '2023-11-14T22:13:20.123Z',
      b: '2023-11-14T22:13:20.123456Z',
      c: '2023-11-14T22:13:20.123456',
      d: '2022-01-08',
      e: null,
      f: '4611686018427387904',
    });
  });

  test('of a file that breaks off anywhere are refused', async () => {
    const records = Array.from({ length: PER_BLOCK }, (_, n) => record(n));
    const whole = await write('deflate', records);
    const headerEnd = whole.indexOf(SYNC) + SYNC.length;
    for (let end = 4; end < whole.length; end += 7) {
      // A container without blocks is one too.
      if (end === headerEnd) continue;
      await writeFile(path, whole.subarray(0, end));
      await expect(read()).rejects.toMatchObject({ code: 'BAD_INPUT_FILE' });
    }
  });

  test('of a damaged block, an unknown codec and no record are refused with the reason', async () => {
    const whole = await write(
      'snappy',
      Array.from({ length: 100 }, (_, n) => record(n)),
    );
    whole[whole.length - 30]! ^= 1;
    await writeFile(path, whole);
    await expect(read()).rejects.toMatchObject({ code: 'BAD_INPUT_FILE' });
    await write('rot13', [record(0)]);
    await expect(read()).rejects.toMatchObject({
      code: 'BAD_INPUT_FILE',
      message: expect.stringContaining('codec is rot13'),
    });
    await write('null', ['x'], 'string');
    await expect(read()).rejects.toMatchObject({ code: 'BAD_INPUT_FILE', message: expect.stringContaining('no record') });
    await writeFile(join(dir, 'empty.avro'), '');
    path = join(dir, 'empty.avro');
    await expect(read()).rejects.toMatchObject({ code: 'BAD_INPUT_FILE' });
    expect((await readFile(path)).length).toBe(0);
  });

  test('without a column of the mapping are refused before the first', async () => {
    await write('null', [record(0)]);
    await expect(read(['at', 'gone'])).rejects.toMatchObject({
      code: 'BAD_MAPPING',
      message: expect.stringContaining('gone'),
    });
  });

  test('have decimals of either sign and any scale', () => {
    expect(decimalText(Buffer.from([0xff]), 3)).toBe('-0.001');
    expect(decimalText(Buffer.from([0x7f]), 0)).toBe('127');
    expect(decimalText(Buffer.alloc(0), 2)).toBe('0.00');
  });
});
