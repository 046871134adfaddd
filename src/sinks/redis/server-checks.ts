/** What a Redis must be before anything is entrusted to it. */
import type { Cluster, Redis } from 'ioredis';
import { MeterError } from '../../errors.ts';
import { serversOf } from './connection.ts';
import { redisFailure } from './failures.ts';

/** Flags of scripts, and scripts that are replicated by what they did. */
const LEAST_VERSION = 7;

const fieldOf = (info: string, name: string): string | undefined => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];

async function checkServer(server: Redis): Promise<void> {
  const info = `${await server.info('server')}\n${await server.info('memory')}`;
  const where = `${server.options.host ?? ''}:${server.options.port ?? ''}`;
  const version = fieldOf(info, 'redis_version') ?? '';
  if (Number(version.split('.')[0]) < LEAST_VERSION)
    throw new MeterError('SPEED_MISCONFIGURED', `redis: ${where} is version ${version}`, { allowed: 'Redis 7 or newer' });
  const policy = fieldOf(info, 'maxmemory_policy') ?? 'unknown';
  // Any other policy takes keys or cells away, and then counts twice or too little without a word.
  if (policy !== 'noeviction')
    throw new MeterError('SPEED_MISCONFIGURED', `redis: maxmemory-policy of ${where} is ${policy}`, {
      field: 'maxmemory-policy',
      value: policy,
      allowed: 'noeviction',
    });
}

/** Throws SPEED_MISCONFIGURED, SPEED_UNAVAILABLE. */
export async function checkServers(redis: Redis | Cluster): Promise<void> {
  const servers = serversOf(redis);
  if (servers.length === 0) throw new MeterError('SPEED_UNAVAILABLE', 'redis: check: no node of the Cluster is known');
  try {
    await Promise.all(servers.map(checkServer));
  } catch (error) {
    throw redisFailure(error, 'check');
  }
}
