/** Redis as a Cluster: slots that move under load, a primary that dies. */
import type { RedisClusterServers } from '../../support/redis-cluster.ts';
import type { RedisServer } from '../../support/redis-server.ts';
import { type Evidence, type Fault, marks, type Scene } from '../fault.ts';

/** As src names the state of a bucket; the tag decides the slot. */
const KEYS = ['mf{0}s', 'mf{1}s', 'mf{2}s', 'mf{3}s'];
const KEYS_AT_ONCE = 20;
const MIGRATE_MS = 5000;

function clusterOf({ installation }: Scene): RedisClusterServers {
  const { cluster } = installation.servers.parts;
  if (cluster === undefined) throw new Error('no Cluster');
  return cluster;
}

/** Key by key, so that calls meet the slot half way. */
async function migrate(slot: number, from: RedisServer, to: RedisServer): Promise<number> {
  const [source, target] = [from.admin(), to.admin()];
  const [sourceId, targetId] = [await source.cluster('MYID'), await target.cluster('MYID')];
  await target.cluster('SETSLOT', slot, 'IMPORTING', sourceId);
  await source.cluster('SETSLOT', slot, 'MIGRATING', targetId);
  for (let moved = 0; ;) {
    const keys = await source.cluster('GETKEYSINSLOT', slot, KEYS_AT_ONCE);
    if (keys.length === 0) {
      for (const admin of [target, source]) await admin.cluster('SETSLOT', slot, 'NODE', targetId);
      return moved;
    }
    for (const key of keys) await source.migrate('127.0.0.1', to.port, key, 0, MIGRATE_MS);
    moved += keys.length;
  }
}

/** Of the slots of Redis, one of each primary. */
const PLACES = [0, 6000, 12_000];

async function redirections({ nodes }: RedisClusterServers): Promise<Evidence> {
  const stats = await Promise.all(nodes.map((node) => node.admin().info('errorstats')));
  const count = (name: string): number =>
    stats.reduce((sum, text) => sum + Number(new RegExp(`errorstat_${name}:count=(\\d+)`).exec(text)?.[1] ?? 0), 0);
  return { ASK: count('ASK'), MOVED: count('MOVED'), TRYAGAIN: count('TRYAGAIN') };
}

const migration: Fault = {
  name: 'slots of a Redis Cluster migrated under load, there and back',
  needs: ({ redis }) => redis === 'cluster',
  strike: async (scene) => {
    const cluster = clusterOf(scene);
    const before = await redirections(cluster);
    let moved = 0;
    for (const key of KEYS) {
      const slot = await cluster.nodes[0]!.admin().cluster('KEYSLOT', key);
      const source = await cluster.primaryOf(slot);
      const others = await Promise.all(PLACES.map((place) => cluster.primaryOf(place)));
      const target = others.find(({ port }) => port !== source.port)!;
      scene.say(`slot ${slot} goes to ${target.port}, and back`);
      moved += await migrate(slot, source, target);
      moved += await migrate(slot, target, source);
    }
    const after = await redirections(cluster);
    const told = Object.fromEntries(Object.entries(after).map(([name, n]) => [`${name} answers`, n - (before[name] ?? 0)]));
    return { 'keys moved': moved, ...told };
  },
  bites: (seen) => ({ ...marks(seen), 'questions answered': seen.counts.exact + seen.counts.provisional }),
};

const AWAY_MS = 12_000;

const primary: Fault = {
  name: 'SIGKILL of a primary of a Redis Cluster: its replica is promoted',
  needs: ({ redis }) => redis === 'cluster',
  strike: async (scene) => {
    const cluster = clusterOf(scene);
    const slot = await cluster.nodes[0]!.admin().cluster('KEYSLOT', KEYS[0]!);
    const node = await cluster.primaryOf(slot);
    await node.kill('SIGKILL');
    await scene.wait(AWAY_MS);
    await node.restart();
    return {};
  },
  bites: marks,
};

export const clusterFaults: readonly Fault[] = [migration, primary];
