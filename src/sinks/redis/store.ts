/** The speed store in Redis. Each call on one bucket is one script; see lua/ for what each of them does. */
import type { Cluster, Redis } from 'ioredis';
import { Command } from 'ioredis';
import type {
  AdvanceRequest,
  ApplyRequest,
  BucketState,
  BucketView,
  DatabaseState,
  Reply,
  SpeedStore,
} from '../../contract.ts';
import type { CellSelector } from '../../domain/cell.ts';
import { checkAdvance, checkApply, checkCollect, checkDrop } from '../memory/checks.ts';
import { RedisBucket } from './bucket.ts';
import { connectRedis, type RedisConnection } from './connection.ts';
import { decodeCount } from './decode.ts';
import { redisFailure } from './failures.ts';
import { beatKey, type Names } from './keys.ts';
import { Arguments } from './request.ts';
import { runScript } from './scripts.ts';
import { checkServers } from './server-checks.ts';

export interface RedisSpeedStoreOptions extends RedisConnection {
  readonly buckets: number;
  /** In front of every name, for a Redis that others use too. Short: it is part of every name of a page of digests. */
  readonly prefix?: string;
  /** The database that the counters belong to. */
  readonly database?: Pick<DatabaseState, 'incarnation' | 'restores'>;
}

/** Those of a database that was never restored are the names of always. */
export const namesOf = ({ prefix = 'mf', database }: RedisSpeedStoreOptions): Names =>
  database === undefined || database.restores === 0 ? { prefix } : { prefix, database: database.incarnation };

export class RedisSpeedStore implements SpeedStore, AsyncDisposable {
  readonly name = 'redis';
  readonly database: string | undefined;
  readonly #redis: Redis | Cluster;
  readonly #names: Names;
  readonly #buckets: readonly RedisBucket[];

  constructor(redis: Redis | Cluster, options: RedisSpeedStoreOptions) {
    const { buckets, database } = options;
    const names = namesOf(options);
    this.#redis = redis;
    this.#names = names;
    this.database = database?.incarnation;
    this.#buckets = Array.from({ length: buckets }, (_, bucket) => new RedisBucket(redis, names, bucket));
  }

  async look(bucket: number, lineage: string): Promise<BucketView> {
    return this.#bucket(bucket).look(lineage);
  }

  async apply(request: ApplyRequest): Promise<Reply> {
    checkApply(request);
    return this.#bucket(request.bucket).apply(request);
  }

  async advance(request: AdvanceRequest): Promise<Reply> {
    checkAdvance(request);
    return this.#bucket(request.bucket).advance(request);
  }

  async collect(bucket: number, lineage: string, cut: number): Promise<void> {
    checkCollect(lineage, cut);
    return this.#bucket(bucket).collect(lineage, cut);
  }

  async epochs(bucket: number): Promise<readonly number[]> {
    return this.#bucket(bucket).epochs();
  }

  async dropEpoch(bucket: number, epoch: number, needed: ReadonlyMap<string, number>): Promise<boolean> {
    checkDrop(epoch, needed);
    return this.#bucket(bucket).dropEpoch(epoch, needed);
  }

  async forget(bucket: number, incarnation: string): Promise<void> {
    return this.#bucket(bucket).forget(incarnation);
  }

  async read(buckets: readonly number[], select: CellSelector): Promise<readonly BucketState[]> {
    return Promise.all(buckets.map((bucket) => this.#bucket(bucket)).map((bucket) => bucket.read(select)));
  }

  async told(beat = 0): Promise<number> {
    const key = beatKey(this.#names);
    const call = new Arguments().plain(key).plain(String(beat));
    const slot = new Command('get', [key]).getSlot();
    try {
      return decodeCount(await runScript(this.#redis, 'told', { keys: 1, arguments: call, slot }));
    } catch (error) {
      throw redisFailure(error, 'hear of the beat');
    }
  }

  async check(): Promise<void> {
    await checkServers(this.#redis);
  }

  /** Closes the connection. What is still under way fails as SPEED_UNAVAILABLE. */
  close(): Promise<void> {
    this.#redis.disconnect();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #bucket(bucket: number): RedisBucket {
    const found = this.#buckets[bucket];
    if (found === undefined) throw new RangeError(`bucket ${bucket} is not one of ${this.#buckets.length}`);
    return found;
  }
}

/** Connects and checks. Throws BAD_CONFIG, SPEED_UNAVAILABLE, SPEED_MISCONFIGURED; nothing stays open then. */
export async function openRedisSpeedStore(options: RedisSpeedStoreOptions): Promise<RedisSpeedStore> {
  const redis = await connectRedis(options);
  try {
    await checkServers(redis);
  } catch (error) {
    redis.disconnect();
    throw error;
  }
  return new RedisSpeedStore(redis, options);
}
