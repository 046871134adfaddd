/** What a Redis must be, and may let this user do, before anything is entrusted to it. What is written is gone at the end. */
import { randomUUID } from 'node:crypto';
import type { Cluster, Redis } from 'ioredis';
import { asError, MeterError } from '../../errors.ts';
import { connectRedis, serversOf } from './connection.ts';
import { redisFailure } from './failures.ts';
import { BucketKeys } from './keys.ts';
import { checkServers } from './server-checks.ts';
import { namesOf, type RedisSpeedStoreOptions } from './store.ts';

/** The steps, in the order in which they make sense. Each answers what it found, or throws why not. */
export interface RedisInspection extends AsyncDisposable {
  servers(): Promise<string>;
  /** The state of every bucket can be read: no slot is without a server. */
  buckets(): Promise<string>;
  rights(): Promise<string>;
}

/** Throws BAD_CONFIG, SPEED_UNAVAILABLE, SPEED_MISCONFIGURED. */
export async function inspectRedis(options: RedisSpeedStoreOptions): Promise<RedisInspection> {
  const { buckets } = options;
  const names = namesOf(options);
  const { prefix } = names;
  const redis = await connectRedis(options);
  return {
    servers: async () => {
      await checkServers(redis);
      return `${String(serversOf(redis).length)} of version 7 or later, noeviction`;
    },
    buckets: async () => {
      const states = Array.from({ length: buckets }, (_, bucket) => new BucketKeys(names, bucket).state);
      const found = await attempt('read the buckets', () => Promise.all(states.map((key) => redis.hget(key, 'i'))));
      return `${String(found.filter((one) => one !== null).length)} of ${String(buckets)} buckets are filled`;
    },
    rights: async () => {
      await useRights(redis, prefix);
      return 'scripts may do all that the store does';
    },
    [Symbol.asyncDispose]: () => {
      redis.disconnect();
      return Promise.resolve();
    },
  };
}

async function attempt<T>(what: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw redisFailure(error, what);
  }
}

/** Each command that the scripts use, on two names of its own that are gone behind the last line. */
const USES = `
redis.call('unlink', KEYS[1], KEYS[2])
redis.call('hset', KEYS[1], 'a', '1', 'b', '2')
redis.call('hincrby', KEYS[1], 'a', 1)
redis.call('hget', KEYS[1], 'a')
redis.call('hmget', KEYS[1], 'a', 'b')
redis.call('hgetall', KEYS[1])
redis.call('hdel', KEYS[1], 'b')
redis.call('mset', KEYS[2], '1')
redis.call('mget', KEYS[2])
redis.call('exists', KEYS[2])
redis.call('bitfield', KEYS[2], 'SET', 'u1', 1, 1)
redis.call('unlink', KEYS[1], KEYS[2])
return 1`;

/** As docs/component-spec.md says it. */
const rightsOf = (prefix: string): string =>
  `~${prefix}{* +eval +evalsha +hget +hset +hdel +hmget +hgetall +hincrby +exists +mget +mset +bitfield +unlink +info`;

/** A script that fails is not rolled back: what it left is taken away, where that is allowed. */
async function useRights(redis: Redis | Cluster, prefix: string): Promise<void> {
  const names = ['h', 's'].map((kind) => `${prefix}{check}${kind}:${randomUUID()}`);
  try {
    await redis.eval(USES, names.length, ...names);
  } catch (cause) {
    await redis.unlink(...names).catch(() => undefined);
    const failure = redisFailure(cause, 'use the rights that scripts need');
    if (failure instanceof MeterError && failure.kind === 'transient') throw failure;
    // A command that a script may not run has no code of its own.
    const what = `redis: scripts may not do all that they need to: ${asError(cause).message}`;
    throw new MeterError('SPEED_MISCONFIGURED', what, { allowed: `ACL SETUSER … ${rightsOf(prefix)}`, cause });
  }
}
