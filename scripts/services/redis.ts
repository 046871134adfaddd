/** A Redis that keeps everything: nothing is evicted, and each second is on disk. */
import { mkdir } from 'node:fs/promises';
import { clientOf, redisArguments } from '../../test/support/redis-server.ts';
import { containRedis, redis as service } from '../../test/support/services/redis.ts';
import type { Server } from './server.ts';

const KEEPS = ['--appendonly', 'yes', '--save', '', '--maxmemory-policy', 'noeviction'];

async function answers(url: string): Promise<boolean> {
  const client = clientOf(url);
  try {
    await client.ping();
    return true;
  } catch {
    return false;
  } finally {
    client.disconnect();
  }
}

export const redis: Server = {
  service,
  stop: 'SIGTERM',
  address: (host, port) => `redis://${host}:${port}`,
  command: async (program, dir, [port]) => {
    await mkdir(dir, { recursive: true });
    return [program, redisArguments(dir, port, KEEPS)];
  },
  contain: (image, port) => containRedis(image, KEEPS, port),
  answers,
  furnish: () => Promise.resolve(),
  settings: (redisUrls) => ({ redisUrls }),
};
