import { expect, test } from 'vitest';
import { LAYOUT, objectKey, placeOf, uriOf } from './s3-layout.ts';

const keyAt = (n: number): string => `segments/kafka.4f0c.${n % 8}/${String(n * 50_000).padStart(20, '0')}.avro`;

test('an object lies where it always lay: another place would be another layout', () => {
  expect(LAYOUT).toEqual({ layout: 1, shards: 16 });
  const place = placeOf({ bucket: 'b', prefix: 'eu/prod' });
  expect(objectKey(place, keyAt(1))).toBe('eu/prod/2/segments/kafka.4f0c.1/00000000000000050000.avro');
  expect(objectKey(placeOf({ bucket: 'b' }), keyAt(1))).toBe('2/segments/kafka.4f0c.1/00000000000000050000.avro');
  expect(uriOf(place, 'k')).toBe('s3://b/k');
});

test('segments of few lineages spread evenly over all shards', () => {
  const counts = new Map<string, number>();
  for (let n = 0; n < 16_000; n += 1) {
    const shard = objectKey(placeOf({ bucket: 'b' }), keyAt(n)).charAt(0);
    counts.set(shard, (counts.get(shard) ?? 0) + 1);
  }
  expect([...counts.keys()].sort().join('')).toBe('0123456789abcdef');
  // 1,000 each; 16,000 fair throws stay within 5 standard deviations.
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(155);
});
