/** Ways to reach Redis: one server, a primary that Sentinels name, or a Cluster; with TLS and an ACL user where they are given. */
import type { ConnectionOptions } from 'node:tls';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { MeterError } from '../../errors.ts';
import { redisFailure } from './failures.ts';

export interface RedisConnection {
  /** `redis://[user:password@]host:port[/db]`, or `rediss://` for TLS: the server, the Sentinels, or some nodes of the Cluster. */
  readonly urls: readonly string[];
  /** What the urls are. A single server without it. */
  readonly mode?: 'single' | 'sentinel' | 'cluster';
  /** The name that the Sentinels watch the primary under. */
  readonly sentinelName?: string;
  /** ACL user of the servers; the urls may say it instead, those of Sentinels mean the Sentinels. */
  readonly username?: string;
  readonly password?: string;
  /** Certificates and the like. Implies TLS. */
  readonly tls?: ConnectionOptions;
  /** Where nodes announce addresses that are not reached from here: `host:port` to where they are. */
  readonly natMap?: Readonly<Record<string, { readonly host: string; readonly port: number }>>;
  /** After so long a call counts as lost, ms. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10_000;
const CONNECT_MS = 5000;
/** Between tries to connect: at once, then up to this, for ever. */
const MOST_WAIT_MS = 1000;
const STEP_MS = 50;
/** A call follows a slot that moves, or waits for a new primary, so often; then its caller waits. */
const REDIRECTIONS = 16;

const waitMs = (times: number): number => Math.min(times * STEP_MS, MOST_WAIT_MS);

interface Place {
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  readonly db: number;
  readonly tls: boolean;
}

function placeOf(url: string): Place {
  const bad = new MeterError('BAD_CONFIG', `redis: ${URL.canParse(url) ? new URL(url).host : 'an address'} cannot be used`, {
    allowed: 'redis://[user:password@]host:port[/db], or rediss:// for TLS',
  });
  if (!URL.canParse(url)) throw bad;
  const { protocol, hostname, port, username, password, pathname } = new URL(url);
  const db = pathname.length > 1 ? Number(pathname.slice(1)) : 0;
  if ((protocol !== 'redis:' && protocol !== 'rediss:') || hostname === '' || !Number.isSafeInteger(db)) throw bad;
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? 6379 : Number(port),
    ...(username !== '' && { username: decodeURIComponent(username) }),
    ...(password !== '' && { password: decodeURIComponent(password) }),
    db,
    tls: protocol === 'rediss:',
  };
}

/**
 * A call that was sent and not answered is not sent again by the client: whoever called knows what a repetition means. A
 * server that says READONLY is left: the next connection finds the primary.
 */
function commonOptions({ username, password, tls, timeoutMs = TIMEOUT_MS }: RedisConnection, first: Place): RedisOptions {
  const user = username ?? first.username;
  const secret = password ?? first.password;
  return {
    ...(user !== undefined && { username: user }),
    ...(secret !== undefined && { password: secret }),
    ...((tls !== undefined || first.tls) && { tls: tls ?? {} }),
    commandTimeout: timeoutMs,
    connectTimeout: CONNECT_MS,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 1,
    reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 1 : false),
    // Asks for a right that nothing needs.
    disableClientInfo: true,
    lazyConnect: true,
  };
}

function make(connection: RedisConnection): Redis | Cluster {
  const places = connection.urls.map(placeOf);
  const [first] = places;
  if (first === undefined) throw new MeterError('BAD_CONFIG', 'redis: no address is given');
  const { mode = 'single', natMap, sentinelName } = connection;
  if (mode === 'single') {
    const { host, port, db } = first;
    return new Redis({ ...commonOptions(connection, first), host, port, db, retryStrategy: waitMs });
  }
  if (mode === 'cluster') {
    const nodes = places.map(({ host, port }) => ({ host, port }));
    return new Cluster(nodes, {
      redisOptions: commonOptions(connection, first),
      clusterRetryStrategy: waitMs,
      maxRedirections: REDIRECTIONS,
      // A call that no node takes would wait for ever: its time runs from when a node has it.
      enableOfflineQueue: false,
      lazyConnect: true,
      ...(natMap && { natMap: { ...natMap } }),
    });
  }
  if (sentinelName === undefined)
    throw new MeterError('BAD_CONFIG', 'redis: Sentinels are given, and no name that they watch', { field: 'sentinelName' });
  const { username, password, ...alone } = first;
  const common = commonOptions(connection, { ...alone, tls: first.tls });
  return new Redis({
    ...common,
    sentinels: places.map(({ host, port }) => ({ host, port })),
    name: sentinelName,
    ...(username !== undefined && { sentinelUsername: username }),
    ...(password !== undefined && { sentinelPassword: password }),
    ...(common.tls && { enableTLSForSentinelMode: true, sentinelTLS: common.tls }),
    ...(natMap && { natMap: { ...natMap } }),
    retryStrategy: waitMs,
    sentinelRetryStrategy: waitMs,
  });
}

/** Connects. Throws BAD_CONFIG, SPEED_UNAVAILABLE, SPEED_MISCONFIGURED; nothing stays open then. */
export async function connectRedis(connection: RedisConnection): Promise<Redis | Cluster> {
  const redis = make(connection);
  let last: unknown;
  // Without a listener the client writes to stderr; what it says arrives with each call that fails of it.
  redis.on('error', (error: unknown) => (last = error));
  try {
    await redis.connect();
  } catch (error) {
    redis.disconnect();
    throw redisFailure(last ?? error, 'connect');
  }
  return redis;
}

/** The servers that hold data: all nodes of a Cluster, replicas too, because each may become a primary. */
export const serversOf = (redis: Redis | Cluster): readonly Redis[] =>
  redis instanceof Cluster ? redis.nodes('all') : [redis];
