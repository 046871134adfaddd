import { crc32c } from '@node-rs/crc32';
import { expect, test } from 'vitest';
import { decodeBatches, type RecordBatch } from './batches.ts';
import { committed } from './committed.ts';
import { registerCodecs } from './compression.ts';
import { encodeBatch, type OutgoingRecord } from './batch-encoder.ts';
import { logRecords } from './records.ts';

registerCodecs();

const record = (key: string | null, value: string, headers: Record<string, string> = {}): OutgoingRecord => ({
  key: key === null ? null : Buffer.from(key),
  value: Buffer.from(value),
  headers: Object.entries(headers)
    .flat()
    .map((text) => Buffer.from(text)),
});
const fields = { compression: 0, producerId: '7', producerEpoch: 0, firstSequence: 0, timestamp: 1_790_000_000_000 };

/** As a broker keeps it: with the place it got. The checksum leaves that out. */
async function batchAt(first: number, records: readonly OutgoingRecord[], compression = 0): Promise<Buffer> {
  const bytes = Buffer.from(await encodeBatch(records, { ...fields, compression }));
  bytes.writeBigInt64BE(BigInt(first), 0);
  return bytes;
}

test('batches are read with their places, keys, values and headers, also beyond 32 bits', async () => {
  const far = 5_000_000_000;
  const bytes = Buffer.concat([
    await batchAt(3, [record('a', 'x', { h: '1', g: '' }), record(null, '')]),
    await batchAt(far, [record('ü', 'y'.repeat(300))], 1),
  ]);
  const [one, two] = await decodeBatches(bytes, 'here');
  expect(one).toMatchObject({
    first: 3,
    last: 4,
    producer: 7n,
    isTransactional: false,
    isControl: false,
    appended: undefined,
  });
  expect(one?.records).toMatchObject([
    { offset: 3, key: Buffer.from('a'), value: Buffer.from('x') },
    { offset: 4, key: null, value: Buffer.alloc(0), headers: new Map() },
  ]);
  expect([...one!.records[0]!.headers]).toEqual([
    ['h', Buffer.from('1')],
    ['g', Buffer.alloc(0)],
  ]);
  expect(two?.records).toMatchObject([{ offset: far, key: Buffer.from('ü'), value: Buffer.from('y'.repeat(300)) }]);
});

test('lengths of every size are written as they are read', async () => {
  const sizes = [0, 1, 62, 63, 64, 65, 126, 127, 128, 8190, 8191, 8192, 8193, 1_048_575, 1_048_576];
  const records = sizes.flatMap((size) => [
    record('k'.repeat(size), 'v'),
    record(null, 'v'.repeat(size), { h: 'x'.repeat(size) }),
  ]);
  const many = Array.from({ length: 9000 }, (_, n) => record(null, `${n}`));
  for (const all of [records, many]) {
    const [batch] = await decodeBatches(await batchAt(0, all), 'here');
    expect(batch?.records.map(({ key, value }) => [key?.length, value?.length])).toEqual(
      all.map(({ key, value }) => [key?.length, value.length]),
    );
    expect(batch?.last).toBe(all.length - 1);
  }
});

test('a last batch that breaks off is left for the next fetch', async () => {
  const [first, second] = [await batchAt(0, [record('a', 'x')]), await batchAt(1, [record('a', 'y')])];
  for (let cut = 0; cut < second.length; cut += 1) {
    expect(await decodeBatches(Buffer.concat([first, second.subarray(0, cut)]), 'here')).toHaveLength(1);
  }
  expect(await decodeBatches(Buffer.concat([first, second]), 'here')).toHaveLength(2);
});

test('KAF-10: every damaged bit behind the checksum is noticed', async () => {
  const whole = await batchAt(0, [record('a', 'x', { h: '1' })]);
  for (let at = 17; at < whole.length; at += 1) {
    const damaged = Buffer.from(whole);
    damaged[at]! ^= 1 << (at % 8);
    await expect(decodeBatches(damaged, 'here')).rejects.toMatchObject({ code: 'LOG_DISORDER', kind: 'fatal' });
  }
});

test('an old message format and a batch that cannot be unpacked are told', async () => {
  const old = await batchAt(9, [record('a', 'x')]);
  old.writeInt8(1, 16);
  await expect(decodeBatches(old, 'here')).rejects.toThrow('read here: the batch at 9 has message format 1');
  for (const [codec, code] of [
    [1, 'LOG_DISORDER'],
    [2, 'LOG_DISORDER'],
    [3, 'LOG_DISORDER'],
    [4, 'LOG_DISORDER'],
    [7, 'DATA_DIR_NEWER'],
  ] as const) {
    const packed = await batchAt(9, [record('a', 'x')]);
    packed.writeInt16BE(codec, 21);
    packed.writeUInt32BE(crc32c(packed.subarray(21)), 17);
    await expect(decodeBatches(packed, 'here')).rejects.toMatchObject({ code });
  }
});

test("a batch with its producer's time is refused: arrival is the broker's", async () => {
  const [batch] = await decodeBatches(await batchAt(5, [record('a', 'x')]), 'here');
  expect(() => logRecords(batch!, 'here', () => Buffer.alloc(0))).toThrow('the batch at 5 carries its producer');
  expect(logRecords({ ...batch!, appended: 12 }, 'here', ({ value }) => value!)).toMatchObject([{ arrival: 12, key: 'a' }]);
});

const batch = (first: number, last: number, producer: bigint, more: Partial<RecordBatch> = {}): RecordBatch => ({
  first,
  last,
  producer,
  isTransactional: true,
  isControl: false,
  appended: 0,
  records: [],
  ...more,
});
const marker = (at: number, producer: bigint, type: 0 | 1): RecordBatch => {
  const key = Buffer.from([0, 0, 0, type]);
  return batch(at, at, producer, { isControl: true, records: [{ offset: at, key, value: null, headers: new Map() }] });
};

test('of transactions that follow each other each is judged by its own marker', () => {
  const all = [
    batch(0, 1, 1n),
    batch(2, 2, 2n),
    batch(3, 3, 1n, { isTransactional: false }),
    marker(4, 1n, 0),
    batch(5, 6, 1n),
    marker(7, 2n, 1),
    marker(8, 1n, 1),
    batch(9, 9, 2n),
    marker(10, 2n, 0),
  ];
  const aborted = [
    { producer: 2n, first: 9 },
    { producer: 1n, first: 0 },
  ];
  expect(committed(all, aborted).map(({ first }) => first)).toEqual([2, 3, 5]);
  expect(committed(all, []).map(({ first }) => first)).toEqual([0, 2, 3, 5, 9]);
  // A fetch that begins inside an aborted transaction is told where that one began.
  expect(committed(all.slice(1), aborted).map(({ first }) => first)).toEqual([2, 3, 5]);
});
