/** The promises of a SpeedStore, kept by Redis: a server of our own, or the one that METERFOLD_TEST_REDIS_URL names. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll } from 'vitest';
import { Redis } from 'ioredis';
import { speedStoreConformance } from '../../src/conformance/speed-store.ts';
import { openRedisSpeedStore } from '../../src/sinks/redis/store.ts';
import { removeKeys } from '../support/redis-keys.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { describeRedis, givenRedis } from '../support/redis-services.ts';

const BUCKETS = 4;

function conformance(name: string, url: () => string): void {
  speedStoreConformance(name, async () => {
    const prefix = `t${randomUUID().slice(0, 6)}`;
    const store = await openRedisSpeedStore({ urls: [url()], buckets: BUCKETS, prefix });
    const admin = new Redis(url());
    return {
      store,
      wipe: (bucket) => removeKeys(admin, `${prefix}{${bucket}}*`),
      close: async () => {
        await removeKeys(admin, `${prefix}{*`);
        admin.disconnect();
        await store.close();
      },
    };
  });
}

const given = givenRedis();
if (given !== undefined) conformance(`Redis at ${new URL(given).host}`, () => given);

describeRedis('speed store conformance', (name) => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.stop());
  conformance(name, () => server.url);
});
