/** Redis: gone, empty, full, replaced by a replica that lacks the newest writes, and told to throw keys away. */
import type { Redis } from 'ioredis';
import { type RedisServer, startRedis, until } from '../../support/redis-server.ts';
import { type Evidence, type Fault, marks, type Scene } from '../fault.ts';
import { ROLES } from '../installation.ts';
import { TcpProxy } from '../proxy.ts';

/** A field of INFO, as a number. */
async function info(admin: Redis, section: string, field: string): Promise<number> {
  return Number(new RegExp(`^${field}:([0-9]+)`, 'm').exec(await admin.info(section))?.[1] ?? 0);
}

const redisOf = ({ installation }: Scene): RedisServer => installation.servers.redis;

const AWAY_MS = 15_000;

/** Nothing is saved: it comes back empty. Meanwhile answers are exact as of the cut. */
const killedWithout: Fault = {
  name: 'SIGKILL of Redis without AOF, away for 15 s',
  answered: 0.99,
  strike: async (scene) => {
    const redis = redisOf(scene);
    await redis.kill('SIGKILL');
    await scene.wait(AWAY_MS);
    await redis.restart();
    return {};
  },
  bites: marks,
};

/** What it had answered is on disk: it comes back with it. */
const killedWith: Fault = {
  name: 'SIGKILL of Redis with AOF',
  strike: async (scene) => {
    const redis = redisOf(scene);
    const admin = redis.admin();
    await admin.config('SET', 'appendfsync', 'always');
    await admin.config('SET', 'appendonly', 'yes');
    await until(
      'the append-only file is whole',
      async () => (await info(admin, 'persistence', 'aof_rewrite_in_progress')) === 0,
    );
    await redis.kill('SIGKILL');
    await scene.wait(1000);
    await redis.restart(['--appendonly', 'yes', '--appendfsync', 'always']);
    const keys = await admin.dbsize();
    await admin.config('SET', 'appendonly', 'no');
    return { 'keys after the restart': keys };
  },
  bites: marks,
};

const emptied: Fault = {
  name: 'FLUSHALL, three times',
  inCi: true,
  strike: async (scene) => {
    const admin = redisOf(scene).admin();
    let keys = 0;
    for (let n = 0; n < 3; n += 1) {
      keys += await admin.dbsize();
      await admin.flushall();
      await scene.wait(2500);
    }
    return { 'keys flushed': keys };
  },
  bites: marks,
};

const FULL_MS = 10_000;

const full: Fault = {
  name: 'Redis out of memory',
  strike: async (scene) => {
    const admin = redisOf(scene).admin();
    await admin.config('SET', 'maxmemory', '1mb');
    await scene.wait(FULL_MS);
    const refused = Number(/errorstat_OOM:count=(\d+)/.exec(await admin.info('errorstats'))?.[1] ?? 0);
    await admin.config('SET', 'maxmemory', '0');
    return { 'writes refused by Redis': refused };
  },
  bites: marks,
};

/** How much a replica lacks: writes of so long, ms. */
const SUFFIX_MS = 3000;

/** Asynchronous replication: the primary dies, its newest writes with it, and clients are sent to the replica. */
const promoted: Fault = {
  name: 'primary of Redis killed, a replica with a lost suffix promoted',
  strike: async (scene) => {
    const { servers } = scene.installation;
    const primary = servers.redis;
    const link = await TcpProxy.start(primary.port);
    const replica = await startRedis();
    const admin = replica.admin();
    await admin.replicaof('127.0.0.1', link.port);
    await until('the replica follows', async () => /master_link_status:up/.test(await admin.info('replication')));
    link.weather = { way: 'held' };
    await scene.wait(SUFFIX_MS);
    const lost = await info(primary.admin(), 'replication', 'master_repl_offset');
    await primary.kill('SIGKILL');
    await admin.replicaof('NO', 'ONE');
    const kept = await info(admin, 'replication', 'master_repl_offset');
    for (const role of ROLES) for (const proxy of servers.proxies(role, 'redis')) proxy.retarget(replica.port);
    servers.redis = replica;
    await Promise.all([link.close(), primary.stop()]);
    return { 'bytes of replication lost': Math.max(0, lost - kept) };
  },
  bites: ({ counts, ...seen }): Evidence => ({ ...marks({ counts, ...seen }), 'fences that fell': counts.fell }),
};

/** An operator changes it under way, and memory is short at that moment. */
const evicting: Fault = {
  name: 'maxmemory-policy of Redis changed to allkeys-lru, memory short',
  strike: async (scene) => {
    const admin = redisOf(scene).admin();
    const used = await info(admin, 'memory', 'used_memory');
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
    await admin.config('SET', 'maxmemory', String(Math.floor(used * 0.7)));
    await scene.wait(FULL_MS);
    const evicted = await info(admin, 'stats', 'evicted_keys');
    await admin.config('SET', 'maxmemory', '0');
    await admin.config('SET', 'maxmemory-policy', 'noeviction');
    return { 'keys evicted': evicted };
  },
  bites: marks,
};

/** A Cluster has faults of its own. */
const needs: Fault['needs'] = ({ redis }) => redis === 'single';

export const redisFaults: readonly Fault[] = [killedWithout, killedWith, emptied, full, promoted, evicting].map((fault) => ({
  ...fault,
  needs,
}));
