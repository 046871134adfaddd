/**
 * The embedded store and Redis, step by step: every reply and the whole state behind each step are equal. Two clients take
 * turns, so that what one of them remembers of a bucket is often stale.
 */
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MemorySpeedStore } from '../../src/sinks/memory/store.ts';
import { openRedisSpeedStore, type RedisSpeedStore } from '../../src/sinks/redis/store.ts';
import { removeKeys } from '../support/redis-keys.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { describeRedis } from '../support/redis-services.ts';
import { BUCKETS, everything, outcomeOf, type Step, steps } from '../support/speed-steps.ts';

const RUNS = Number(process.env.METERFOLD_FUZZ_RUNS ?? '400');
const SEED = Number(process.env.METERFOLD_FUZZ_SEED ?? '20260115');

/** Losses are steps too: of all of a bucket, or of its state alone, behind which cells and digests lie about. */
type Loss = { readonly bucket: number; readonly all: boolean };
const losses: fc.Arbitrary<Loss> = fc.record({ bucket: fc.nat(BUCKETS - 1), all: fc.boolean() });
const schedules = fc.tuple(steps, fc.array(fc.tuple(fc.nat(40), losses), { maxLength: 2 }));

describeRedis('speed store, compared with the embedded one', () => {
  let server: RedisServer;
  let admin: Redis;
  let clients: RedisSpeedStore[];

  beforeAll(async () => {
    // An order of text that is not that of bytes, where there is one: nothing may depend on it.
    server = await startRedis([], { LC_ALL: 'C.UTF-8' });
    admin = server.admin();
    const open = () => openRedisSpeedStore({ urls: [server.url], buckets: BUCKETS, prefix: 'fuzz' });
    clients = [await open(), await open()];
  });
  afterAll(async () => {
    for (const one of clients) await one.close();
    await server.stop();
  });

  async function compare(list: readonly Step[], lost: readonly (readonly [number, Loss])[]): Promise<void> {
    await admin.flushall();
    const memory = new MemorySpeedStore(BUCKETS);
    for (const [n, step] of list.entries()) {
      for (const [when, { bucket, all }] of lost) {
        if (when !== n) continue;
        memory.wipe([bucket]);
        await (all ? removeKeys(admin, `fuzz{${bucket}}*`) : admin.del(`fuzz{${bucket}}s`));
      }
      const redis = clients[n % 2]!;
      const expected = await outcomeOf(() => step.run(memory, String(n)));
      expect(await outcomeOf(() => step.run(redis, String(n))), `step ${n}: ${step.name}`).toEqual(expected);
      expect(await everything(redis), `behind step ${n}: ${step.name}`).toEqual(await everything(memory));
    }
  }

  test(`${RUNS} schedules of up to 40 steps`, { timeout: 600_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(schedules, async ([list, lost]) => compare(list, lost)),
      { numRuns: RUNS, seed: SEED },
    );
  });
});
