/** The promises of a SpeedStore on a Redis Cluster, and slots that move or lose their primary while events come in. */
import { randomUUID } from 'node:crypto';
import { Command, type Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SpeedRecord } from '../../src/contract.ts';
import { at } from '../../src/conformance/places.ts';
import { speedRecord, speedStoreConformance } from '../../src/conformance/speed-store.ts';
import { MeterError } from '../../src/errors.ts';
import { openRedisSpeedStore, type RedisSpeedStore } from '../../src/sinks/redis/store.ts';
import { type RedisClusterServers, startCluster } from '../support/redis-cluster.ts';
import { removeKeys } from '../support/redis-keys.ts';
import { type RedisServer, until } from '../support/redis-server.ts';
import { describeRedis } from '../support/redis-services.ts';
import { openBucket } from '../support/speed-buckets.ts';

describeRedis('speed store on a Cluster', (name) => {
  let cluster: RedisClusterServers;
  let admins: Redis[];
  beforeAll(async () => {
    cluster = await startCluster();
    admins = cluster.nodes.map((node) => node.admin());
  });
  afterAll(() => cluster.stop());

  const isPrimary = async (admin: Redis): Promise<boolean> => (await admin.info('replication')).includes('role:master');
  async function removeAll(pattern: string): Promise<void> {
    for (const admin of admins) if (await isPrimary(admin)) await removeKeys(admin, pattern);
  }
  const open = (prefix: string, timeoutMs = 5000) =>
    openRedisSpeedStore({ urls: cluster.urls.slice(0, 2), mode: 'cluster', buckets: 4, prefix, timeoutMs });

  speedStoreConformance(`${name}, Cluster`, async () => {
    const prefix = `t${randomUUID().slice(0, 6)}`;
    const store = await open(prefix);
    return { store, wipe: (bucket) => removeAll(`${prefix}{${bucket}}*`), close: () => store.close() };
  });

  const slotOf = (key: string): number => new Command('get', [key]).getSlot();

  /** Applies one batch after the other, as a worker does: what fails as transient is looked at and sent again. */
  async function load(store: RedisSpeedStore, until: { done: boolean }): Promise<number> {
    let from = 0;
    const BATCH = 40;
    while (!until.done || from === 0) {
      const records: SpeedRecord[] = Array.from({ length: BATCH }, (_, n) => speedRecord(from + n, 1n));
      const place = { bucket: 0, lineage: 'l0', incarnation: 'i0', prev: at(from), to: at(from + BATCH) };
      try {
        const reply = await store.apply({ ...place, arrival: 1, rules: 1, oldest: 2, records });
        expect(reply).toMatchObject({ ok: true });
        from += BATCH;
      } catch (error) {
        // The call may have been carried out: sending it again changes nothing.
        if (!(error instanceof MeterError && error.code === 'SPEED_UNAVAILABLE')) throw error;
      }
    }
    return from;
  }
  const total = async (store: RedisSpeedStore): Promise<bigint> =>
    (await store.read([0], {})).flatMap(({ cells }) => cells).reduce((sum, cell) => sum + cell.sum, 0n);

  /** How often the nodes sent a call elsewhere, or told it to come again. */
  async function redirections(): Promise<number> {
    const stats = await Promise.all(admins.map((admin) => admin.info('errorstats').catch(() => '')));
    const counts = stats.flatMap((text) => [...text.matchAll(/errorstat_(?:ASK|TRYAGAIN|MOVED):count=(\d+)/g)]);
    return counts.reduce((sum, [, count]) => sum + Number(count), 0);
  }

  /** Moves a slot key by key, in small steps, so that calls meet it half way. */
  async function migrate(slot: number, from: RedisServer, to: RedisServer): Promise<void> {
    const [source, target] = [from.admin(), to.admin()];
    const sourceId = await source.cluster('MYID');
    const targetId = await target.cluster('MYID');
    await target.cluster('SETSLOT', slot, 'IMPORTING', sourceId);
    await source.cluster('SETSLOT', slot, 'MIGRATING', targetId);
    for (;;) {
      const keys = await source.cluster('GETKEYSINSLOT', slot, 20);
      if (keys.length === 0) break;
      for (const key of keys) await source.migrate('127.0.0.1', to.port, key, 0, 5000);
    }
    for (const admin of [target, source]) await admin.cluster('SETSLOT', slot, 'NODE', targetId);
  }

  test('a slot moves while events come in: calls wait, and each event counts once', { timeout: 120_000 }, async () => {
    const store = await open('move', 3000);
    await openBucket(store, 0);
    const slot = slotOf('move{0}s');
    const source = await cluster.primaryOf(slot);
    const others = await Promise.all([0, 6000, 12_000].map((other) => cluster.primaryOf(other)));
    const target = others.find((node) => node.port !== source.port)!;
    const running = { done: false };
    const loaded = load(store, running);
    await until('there is something to move', async () => (await total(store)) > 400n);
    const before = await redirections();
    await migrate(slot, source, target);
    await migrate(slot, target, source);
    running.done = true;
    const records = await loaded;
    await until('the store answers', async () => (await total(store)) === BigInt(records));
    expect((await store.look(0, 'l0')).fence).toBe(at(records));
    expect(await redirections()).toBeGreaterThan(before + 1);
    await store.close();
  });

  test('a primary dies: calls fail as transient until its replica is promoted', { timeout: 120_000 }, async () => {
    const store = await open('die', 2000);
    await openBucket(store, 0);
    const place = { bucket: 0, lineage: 'l0', incarnation: 'i0', arrival: 1, rules: 1, oldest: 2 };
    const some = { ...place, prev: at(0), to: at(5), records: [0, 1, 2, 3, 4].map((n) => speedRecord(n, 1n)) };
    expect(await store.apply(some)).toMatchObject({ ok: true });
    const primary = await cluster.primaryOf(slotOf('die{0}s'));
    await until('its replica has it', async () => (await primary.admin().wait(1, 1000)) >= 1);
    await primary.kill('SIGKILL');
    const failures: unknown[] = [];
    await until('the replica answers', () =>
      store.apply({ ...some, prev: at(5), to: at(6), records: [speedRecord(5, 1n)] }).catch((error: unknown) => {
        failures.push(error);
        return undefined;
      }),
    );
    for (const failure of failures) expect(failure).toMatchObject({ code: 'SPEED_UNAVAILABLE' });
    expect(await total(store)).toBe(6n);
    await store.close();
  });

  test('a Cluster that is gone altogether is told in time, by every call', { timeout: 120_000 }, async () => {
    const store = await open('gone', 2000);
    await openBucket(store, 0);
    await Promise.all(cluster.nodes.map((node) => node.kill('SIGKILL')));
    for (const call of [
      () => store.look(0, 'l0'),
      () => store.epochs(0),
      () => store.collect(0, 'l0', 1),
      () => store.check(),
    ])
      await expect(call()).rejects.toMatchObject({ code: 'SPEED_UNAVAILABLE' });
    await store.close();
    await expect(store.look(0, 'l0')).rejects.toMatchObject({ code: 'SPEED_UNAVAILABLE' });
  });
});
