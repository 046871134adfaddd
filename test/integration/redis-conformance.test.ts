/** The promises of a SpeedStore, kept by Redis, whichever server there is. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll } from 'vitest';
import { Redis } from 'ioredis';
import { speedStoreConformance } from '../../src/conformance/speed-store.ts';
import { openRedisSpeedStore } from '../../src/sinks/redis/store.ts';
import { removeKeys } from '../support/redis-keys.ts';
import { type AnyRedis, describeRedis } from '../support/redis-services.ts';

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

describeRedis(
  'speed store conformance',
  (name, open) => {
    let server: AnyRedis;
    beforeAll(async () => {
      server = await open();
    });
    afterAll(() => server.stop());
    conformance(name, () => server.url);
  },
  'any',
);
