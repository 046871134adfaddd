/** Suites on Redis. */
import type { Redis } from 'ioredis';
import { clientOf, type RedisServer, startRedis, until } from './redis-server.ts';
import { containRedis, redis } from './services/redis.ts';
import { describeService } from './services/suites.ts';
import type { Found, Need } from './services/ways.ts';

/** A server, whatever it runs as. */
export type AnyRedis = Pick<RedisServer, 'url' | 'admin' | 'stop'>;

async function at(url: string, stop: () => Promise<void>): Promise<AnyRedis> {
  const admins: Redis[] = [];
  const admin = (): Redis => {
    const client = clientOf(url);
    admins.push(client);
    return client;
  };
  await until('the Redis answers', async () => admin().ping());
  return {
    url,
    admin,
    stop: async () => {
      for (const client of admins) client.disconnect();
      await stop();
    },
  };
}

export async function openRedis(found: Found): Promise<AnyRedis> {
  if (found.way === 'given') return at(found.url, () => Promise.resolve());
  if (found.way !== 'Docker') return startRedis();
  const { host, port, stop } = await containRedis(found.image);
  return at(`redis://${host}:${port}`, stop);
}

/** The suite; with `own`, which is the usual need, it starts servers itself. */
export function describeRedis(
  title: string,
  suite: (server: string, open: () => Promise<AnyRedis>) => void,
  need: Need = 'own',
): void {
  describeService(title, redis, need, (found) => suite(found.server, () => openRedis(found)));
}
