/** A Redis Cluster of one's own: three primaries, each with a replica, on free ports of 127.0.0.1. */
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { freePort } from './free-port.ts';
import { type RedisServer, startRedis, until } from './redis-server.ts';
import { redis } from './services/redis.ts';
import { ownProgram } from './services/ways.ts';

export interface RedisClusterServers {
  readonly urls: readonly string[];
  readonly nodes: readonly RedisServer[];
  /** The node that serves a slot, as the others say. */
  primaryOf(slot: number): Promise<RedisServer>;
  stop(): Promise<void>;
}

const NODES = 6;
const PRIMARIES = 3;

async function startNode(): Promise<RedisServer> {
  const bus = await freePort();
  const own = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-port', String(bus)];
  return startRedis([...own, '--cluster-node-timeout', '1500']);
}

export async function startCluster(): Promise<RedisClusterServers> {
  const { path } = ownProgram(redis);
  const nodes = await Promise.all(Array.from({ length: NODES }, startNode));
  const places = nodes.map(({ port }) => `127.0.0.1:${port}`);
  const create = ['--cluster', 'create', ...places, '--cluster-replicas', '1', '--cluster-yes'];
  execFileSync(join(dirname(path), 'redis-cli'), create, { stdio: 'pipe' });
  const admins = nodes.map((node) => node.admin());
  // It returns before the replicas are attached.
  for (const admin of admins)
    await until('every node says that the cluster is whole', async () =>
      (await admin.cluster('INFO')).includes('cluster_state:ok'),
    );
  await until('every primary has its replica', async () => {
    const infos = await Promise.all(admins.map((admin) => admin.info('replication')));
    return infos.filter((info) => /slave0:.*state=online/.test(info)).length === PRIMARIES;
  });
  return {
    urls: nodes.map(({ url }) => url),
    nodes,
    primaryOf: async (slot) => {
      const ranges = (await admins[0]!.cluster('SLOTS')) as unknown as [number, number, [string, number]][];
      const [, , [, port]] = ranges.find(([from, to]) => from <= slot && slot <= to)!;
      return nodes.find((node) => node.port === port)!;
    },
    stop: async () => {
      await Promise.all(nodes.map((node) => node.stop()));
    },
  };
}
