import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  bucketOf,
  bucketsOfTenant,
  demandAhead,
  murmur2,
  NO_SPREAD,
  partitionOf,
  routingKeyOf,
  type Spread,
} from './routing.ts';

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
    expect(routingKeyOf({ tenant: 'acme', key: 'k', timestamp: 7 }, NO_SPREAD)).toBe('acme');
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
        const key = routingKeyOf({ tenant, key: 'k', timestamp: 7 }, NO_SPREAD);
        expect(bucketsOfTenant(tenant, 16, NO_SPREAD)).toEqual([bucketOf(key, 16)]);
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

/** Up to three steps of a tenant, ascending in time. */
const steps = fc
  .uniqueArray(fc.record({ from: fc.nat(100), keys: fc.integer({ min: 1, max: 40 }) }), {
    selector: ({ from }) => from,
    maxLength: 3,
  })
  .map((list) => list.sort((a, b) => a.from - b.from));
const spreads: fc.Arbitrary<Spread> = fc.record({ acme: steps, zeta: steps }).map((all) => new Map(Object.entries(all)));
const routed = fc.record({
  tenant: fc.constantFrom('acme', 'zeta', 'calm'),
  key: fc.string({ maxLength: 8 }),
  timestamp: fc.nat(120),
});

describe('a tenant that is spread', () => {
  const SPREAD: Spread = new Map([
    [
      'acme',
      [
        { from: 100, keys: 4 },
        { from: 200, keys: 1 },
        { from: 300, keys: 8 },
      ],
    ],
  ]);
  const keysAt = (timestamp: number): string[] => {
    const all = Array.from({ length: 400 }, (_, n) => routingKeyOf({ tenant: 'acme', key: `k${n}`, timestamp }, SPREAD));
    return [...new Set(all)].sort();
  };
  const numbered = (count: number): string[] => Array.from({ length: count }, (_, n) => `acme#${n}`);

  test('has as many routing keys as the step says that its event time lies in, and one before the first', () => {
    const found = [0, 99, 100, 199, 200, 299, 300, 1e15].map(keysAt);
    const [one, four, eight] = [['acme'], numbered(4), numbered(8)];
    expect(found).toEqual([one, one, four, four, one, one, eight, eight]);
  });

  test('leaves others as they are', () => {
    expect(routingKeyOf({ tenant: 'acm', key: 'k', timestamp: 150 }, SPREAD)).toBe('acm');
  });

  test('spreads its keys evenly', () => {
    const perKey = new Map<string, number>();
    for (let n = 0; n < 8000; n += 1) {
      const key = routingKeyOf({ tenant: 'acme', key: `order-${n}`, timestamp: 400 }, SPREAD);
      perKey.set(key, (perKey.get(key) ?? 0) + 1);
    }
    // 1000 each, with a standard deviation of 30.
    for (const count of perKey.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  test('has one home for all copies of an event: only tenant, idempotency key and time say which', () => {
    fc.assert(
      fc.property(spreads, routed, (spread, event) => {
        const copy = { ...event, quantity: 7n, properties: '{}' };
        expect(routingKeyOf(copy, new Map([...spread].reverse()))).toBe(routingKeyOf(event, spread));
      }),
    );
  });

  test('keeps the home of an event when a step is added behind its time', () => {
    fc.assert(
      fc.property(spreads, routed, fc.integer({ min: 1, max: 40 }), (spread, event, keys) => {
        const from = Math.max(event.timestamp, 120) + 1;
        const later = new Map([...spread].map(([tenant, list]) => [tenant, [...list, { from, keys }]]));
        expect(routingKeyOf(event, later)).toBe(routingKeyOf(event, spread));
      }),
    );
  });

  test('has all its cells in the buckets it is asked in, whenever they are from', () => {
    fc.assert(
      fc.property(spreads, routed, fc.integer({ min: 1, max: 64 }), (spread, event, buckets) => {
        const asked = bucketsOfTenant(event.tenant, buckets, spread);
        expect(asked).toContain(bucketOf(routingKeyOf(event, spread), buckets));
        expect(asked).toEqual([...new Set(asked)].sort((a, b) => a - b));
      }),
      { numRuns: 300 },
    );
  });
});

describe('a declared spread', () => {
  const NOW_MS = 1_800_000_000_000;
  const EARLIEST = (NOW_MS + 600_000) * 1000;
  const of = (...list: readonly (readonly [from: number, keys: number])[]): Spread =>
    new Map([['acme', list.map(([from, keys]) => ({ from, keys }))]]);
  const refusal = (recorded: Spread, declared: Spread): string | undefined => {
    try {
      demandAhead(recorded, declared, NOW_MS);
      return undefined;
    } catch (error) {
      expect(error).toMatchObject({ code: 'BAD_METERS', detail: { field: 'spread', value: 'acme' } });
      return (error as Error).message;
    }
  };

  test('may add steps that lie ten minutes ahead, to tenants that have some and to others', () => {
    expect(refusal(NO_SPREAD, NO_SPREAD)).toBeUndefined();
    expect(refusal(NO_SPREAD, of([EARLIEST, 4]))).toBeUndefined();
    expect(refusal(of([1, 2]), of([1, 2], [EARLIEST, 4]))).toBeUndefined();
    expect(refusal(of([1, 2]), of([1, 2]))).toBeUndefined();
  });

  test.each<[string, Spread, Spread, string]>([
    ['has another number of keys', of([1, 2], [5, 4]), of([1, 2], [5, 8]), 'step 2 was recorded and cannot change'],
    ['has another time', of([1, 2]), of([2, 2]), 'step 1 was recorded and cannot change'],
    ['is gone', of([1, 2], [5, 4]), of([1, 2]), 'step 2 was recorded and cannot change'],
    ['is gone with its tenant', of([1, 2]), NO_SPREAD, 'step 1 was recorded and cannot change'],
    ['has another step before it', of([9, 2]), of([1, 3], [9, 2]), 'step 1 was recorded and cannot change'],
    ['is new and too near', NO_SPREAD, of([EARLIEST - 1, 4]), 'less than 10 minutes from now'],
    ['is new and past, behind one that is recorded', of([1, 2]), of([1, 2], [7, 4]), 'less than 10 minutes from now'],
  ])('is refused where a step %s', (_, recorded, declared, fact) => {
    expect(refusal(recorded, declared)).toContain(fact);
  });
});
