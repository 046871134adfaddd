/** Numbers that random steps seldom reach: long sums of great values, and unique counts beyond their exact bound. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SpeedStore } from '../../src/contract.ts';
import { contribution, speedRecord } from '../../src/conformance/speed-store.ts';
import { at } from '../../src/conformance/places.ts';
import type { Contribution } from '../../src/domain/cell.ts';
import { countDistinct, isApproximate } from '../../src/domain/distinct.ts';
import { encodeState } from '../../src/domain/state.ts';
import { MemorySpeedStore } from '../../src/sinks/memory/store.ts';
import { Mixer } from '../../src/sinks/redis/digests.ts';
import { openRedisSpeedStore, type RedisSpeedStore } from '../../src/sinks/redis/store.ts';
import { openBucket } from '../support/speed-buckets.ts';
import { type AnyRedis, describeRedis } from '../support/redis-services.ts';

describeRedis('speed store, numbers', numbers, 'empty');

function numbers(_name: string, open: () => Promise<AnyRedis>): void {
  let server: AnyRedis;
  let redis: RedisSpeedStore;
  beforeAll(async () => {
    server = await open();
    redis = await openRedisSpeedStore({ urls: [server.url], buckets: 4 });
  });
  afterAll(async () => {
    await redis.close();
    await server.stop();
  });

  async function add(store: SpeedStore, bucket: number, from: number, all: readonly Contribution[]): Promise<void> {
    const records = all.map((one, n) => speedRecord(from + n, 0n, { contributions: [one] }));
    const place = { bucket, lineage: 'l0', incarnation: `i${bucket}`, prev: at(from), to: at(from + all.length) };
    expect(await store.apply({ ...place, arrival: 1, rules: 1, oldest: 2, records })).toMatchObject({ ok: true });
  }
  const cellOf = async (store: SpeedStore, bucket: number) => (await store.read([bucket], {}))[0]!.cells[0]!;

  test('10,000 records of the greatest value in one script, twice, and then of the least', async () => {
    const greatest = 10n ** 38n - 1n;
    await openBucket(redis, 0);
    const all = Array.from({ length: 10_000 }, () => contribution(greatest));
    await add(redis, 0, 0, all);
    await add(redis, 0, 10_000, all);
    expect(await cellOf(redis, 0)).toMatchObject({ count: 20_000, sum: 20_000n * greatest });
    await add(
      redis,
      0,
      20_000,
      [...all, ...all, ...all].map((one) => ({ ...one, value: -greatest })),
    );
    expect(await cellOf(redis, 0)).toMatchObject({ count: 50_000, sum: -10_000n * greatest });
  });

  test('a sum of nothing but cancelling values takes no more room than one of none', async () => {
    await openBucket(redis, 1);
    const values = [10n ** 37n, -(10n ** 37n), 1n, -1n];
    await add(
      redis,
      1,
      0,
      values.map((value) => contribution(value)),
    );
    expect(await cellOf(redis, 1)).toMatchObject({ count: 4, sum: 0n });
  });

  test('a unique count becomes the same sketch as in the embedded store, wherever it is cut', async () => {
    const memory = new MemorySpeedStore(4);
    const stores = [redis, memory];
    for (const store of stores) await openBucket(store, 2);
    const memberOf = (n: number): string =>
      createHash('sha256').update(String(n)).digest().subarray(0, 8).toString('latin1');
    const special = ['\0'.repeat(8), '\xff'.repeat(8), '\x00\x10' + '\0'.repeat(6), '\x12\x30' + '\0'.repeat(5) + '\x01'];
    const members = [...special, ...Array.from({ length: 2500 }, (_, n) => memberOf(n % 2200))];
    const all = members.map((member) => contribution(0n, { aggregation: 'unique_count', member }));
    for (const [from, to] of [
      [0, 1003],
      [1003, 1004],
      [1004, 1005],
      [1005, 2504],
    ] as const) {
      for (const store of stores) await add(store, 2, from, all.slice(from, to));
      const [one, other] = [await cellOf(redis, 2), await cellOf(memory, 2)];
      expect(encodeState(one)).toBe(encodeState(other));
      expect([one.count, isApproximate(one.distinct!)]).toEqual([to, to > 1000]);
    }
    expect(countDistinct((await cellOf(redis, 2)).distinct!)).toBe(countDistinct((await cellOf(memory, 2)).distinct!));
  });

  test('bytes that two neighbours make together are no digest', async () => {
    await openBucket(redis, 3);
    const mixer = new Mixer('i3');
    /** The digest that page 0 keeps as these bytes. */
    const inPage = (kept: string): string => {
      const head = (kept.charCodeAt(0) - mixer.hash(`00${kept.slice(1)}`)) & 0xffff;
      return String.fromCharCode(head >> 8, head & 0xff) + kept.slice(1);
    };
    const [one, other] = ['\x01bcde\x02ghijklmno', '\x03BCDEFGHIJKLMNO'];
    const between = (one + other).slice(5, 20);
    const kept = [one, other, between, one, between];
    const records = kept.map((bytes, n) => speedRecord(n, 1n, { digest: inPage(bytes) }));
    const place = { bucket: 3, lineage: 'l0', incarnation: 'i3', prev: at(0), to: at(5), arrival: 1, rules: 1, oldest: 2 };
    expect(await redis.apply({ ...place, records })).toMatchObject({ ok: true });
    expect(await cellOf(redis, 3)).toMatchObject({ count: 3 });
  });

  test('200,000 keys of three epochs take at most 32 bytes each', async () => {
    const admin = server.admin();
    const used = async (): Promise<number> => Number(/^used_memory:(\d+)/m.exec(await admin.info('memory'))![1]);
    await redis.close();
    await admin.flushall();
    redis = await openRedisSpeedStore({ urls: [server.url], buckets: 4 });
    await openBucket(redis, 0);
    const [before, keys, batch] = [await used(), 200_000, 5000];
    const digestOf = (n: number): string => createHash('md5').update(String(n)).digest().toString('latin1');
    for (let from = 0; from < keys; from += batch) {
      const records = Array.from({ length: batch }, (_, n) =>
        speedRecord(from + n, 1n, { digest: digestOf(from + n), epoch: 2 + Math.floor(((from + n) / keys) * 3) }),
      );
      const place = { bucket: 0, lineage: 'l0', incarnation: 'i0', prev: at(from), to: at(from + batch) };
      await redis.apply({ ...place, arrival: 1, rules: 1, oldest: 2, records });
    }
    expect(await cellOf(redis, 0)).toMatchObject({ count: keys });
    const each = ((await used()) - before) / keys;
    expect(each).toBeLessThanOrEqual(32);
  });
}
