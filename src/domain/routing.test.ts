import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bucketOf, bucketsOfTenant, murmur2, partitionOf, routingKeyOf } from './routing.ts';

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** MurmurHash2 (A. Appleby) over unsigned 32-bit numbers in bigints, as its definition reads. */
function reference(bytes: Uint8Array, seed: number): number {
  const [m, u32] = [0x5bd1e995n, (x: bigint): bigint => x & 0xffffffffn];
  const little = (part: Uint8Array): bigint => part.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  const whole = bytes.length - (bytes.length % 4);
  let h = BigInt(seed) ^ BigInt(bytes.length);
  for (let at = 0; at < whole; at += 4) {
    const k = u32(little(bytes.subarray(at, at + 4)) * m);
    h = u32(h * m) ^ u32((k ^ (k >> 24n)) * m);
  }
  if (whole < bytes.length) h = u32((h ^ little(bytes.subarray(whole))) * m);
  h = u32((h ^ (h >> 13n)) * m);
  return Number(BigInt.asIntN(32, h ^ (h >> 15n)));
}

describe('murmur2', () => {
  // org.apache.kafka.common.utils.UtilsTest.testMurmur2
  test.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('of %s is what Kafka’s own test expects', (text, hash) => {
    expect(murmur2(bytesOf(text))).toBe(hash);
  });

  test('is the hash of its definition, for any bytes and seed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), fc.integer({ min: 0, max: 0xffffffff }), (bytes, seed) => {
        expect(murmur2(bytes, seed)).toBe(reference(bytes, seed));
      }),
      { numRuns: 500 },
    );
  });

  test('looks only at the bytes of a view into something larger', () => {
    const around = bytesOf('xxfoobarxx');
    expect(murmur2(around.subarray(2, 8))).toBe(murmur2(bytesOf('foobar')));
  });
});

describe('an event', () => {
  test('has its tenant as its routing key', () => {
    expect(routingKeyOf({ tenant: 'acme' })).toBe('acme');
  });

  test('falls into a partition and a bucket that exist', () => {
    const some = fc.integer({ min: 1, max: 5000 });
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), some, some, (key, partitions, buckets) => {
        const [partition, bucket] = [partitionOf(key, partitions), bucketOf(key, buckets)];
        expect(Number.isInteger(partition) && partition >= 0 && partition < partitions).toBe(true);
        expect(Number.isInteger(bucket) && bucket >= 0 && bucket < buckets).toBe(true);
      }),
    );
  });

  test('has the partition that Kafka’s Java client gives its key', () => {
    // Utils.toPositive(murmur2(key)) % numPartitions, from the vectors above.
    expect(partitionOf('21', 1000)).toBe((-973932308 & 0x7fffffff) % 1000);
    expect(partitionOf('abc', 1000)).toBe(107);
    expect(partitionOf('foobar', 2 ** 31)).toBe(2 ** 31 - 790332482);
  });

  test('has its cells where its tenant is asked for', () => {
    fc.assert(
      fc.property(fc.string(), (tenant) => {
        expect(bucketsOfTenant(tenant, 16)).toEqual([bucketOf(routingKeyOf({ tenant }), 16)]);
      }),
    );
  });
});

test('the keys of one partition spread over all buckets, though both counts are powers of two', () => {
  const perBucket = new Array<number>(16).fill(0);
  const keys = Array.from({ length: 32_000 }, (_, n) => `tenant-${n}`).filter((key) => partitionOf(key, 16) === 3);
  for (const key of keys) perBucket[bucketOf(key, 16)]! += 1;
  expect(keys.length).toBeGreaterThan(1800);
  // About 125 each; a shared seed would put all into one.
  for (const count of perBucket) expect(Math.abs(count - keys.length / 16)).toBeLessThan(60);
});
