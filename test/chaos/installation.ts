/** An installation: real servers, and the roles as processes, each of whose connections goes through a proxy of ours. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kafka, logLevel } from 'kafkajs';
import { faultyHttp, type FaultyHttp } from '../support/faulty-http.ts';
import { type KafkaServers, startKafka } from '../support/kafka-server.ts';
import { connectKafka, type TestKafka } from '../support/kafka-services.ts';
import { type PostgresServer, startPostgres } from '../support/postgres-server.ts';
import { type RedisClusterServers, startCluster } from '../support/redis-cluster.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { type Environment, RoleProcess } from '../support/role-process.ts';
import { type S3Server, startS3 } from '../support/s3-server.ts';
import { type Disk, ownDisk } from './disk.ts';
import { TcpProxy } from './proxy.ts';

export const ROLES = ['ingest', 'worker', 'publisher', 'relay', 'scheduler', 'api'] as const;
export type Role = (typeof ROLES)[number];
export const SERVERS = ['kafka', 'redis', 'postgres', 's3'] as const;
export type Server = (typeof SERVERS)[number];

export interface Size {
  readonly brokers: 1 | 3;
  /** A Cluster of six is asked directly: its nodes tell addresses of their own. */
  readonly redis: 'single' | 'cluster';
  readonly partitions: number;
  readonly roles: readonly Role[];
}

/** As small as shows something: what CI runs. */
export const SMALL: Size = {
  ...{ brokers: 1, redis: 'single', partitions: 3 },
  roles: ['ingest', 'worker', 'worker', 'publisher', 'relay', 'scheduler', 'api'],
};

/** Several brokers, and Redis as a Cluster. */
export const CLUSTERS: Size = { ...SMALL, brokers: 3, redis: 'cluster' };

const BUCKETS = 4;
const RESTART_MS = 500;
/** Characters of what a process wrote. */
const SAID = 600;

/** What an orchestrator does: a process that is gone is started again, until it is let go. */
interface Kept {
  readonly role: Role;
  process: RoleProcess | undefined;
  isWanted: boolean;
}

export class Installation {
  readonly size: Size;
  readonly servers: Servers;
  readonly #kept: Kept[] = [];
  readonly #keepers: Promise<void>[] = [];
  #closing = false;
  /** Processes that were started again because they were gone. */
  restarts = 0;
  readonly #say: (line: string) => void;

  private constructor(size: Size, servers: Servers, say: (line: string) => void) {
    this.size = size;
    this.servers = servers;
    this.#say = say;
  }

  static async start(size: Size, say: (line: string) => void): Promise<Installation> {
    const servers = await startServers(size);
    const installation = new Installation(size, servers, say);
    try {
      await Promise.all(size.roles.map((role) => installation.add(role)));
      return installation;
    } catch (error) {
      await installation.close();
      throw error;
    }
  }

  get running(): readonly RoleProcess[] {
    return this.#kept.flatMap(({ process }) => (process === undefined || process.isDead ? [] : [process]));
  }

  of = (role: Role): readonly RoleProcess[] => this.running.filter((one) => one.role === role);

  /** The url of one of them, in turn; where none runs, of nobody. */
  url(role: Role, turn: number): string {
    const some = this.of(role);
    return some[turn % some.length]?.url ?? 'http://127.0.0.1:1';
  }

  environment = (role: Role): Environment => ({ ...this.servers.settings(role), METERFOLD_DRAIN_MS: '5000' });

  /** One more, kept running. `program` and `more`: another start, once; what follows it is the usual one. */
  async add(role: Role, program?: readonly string[], more: Environment = {}): Promise<RoleProcess> {
    const kept: Kept = { role, process: undefined, isWanted: true };
    const first = await RoleProcess.start(role, { ...this.environment(role), ...more }, program);
    kept.process = first;
    this.#kept.push(kept);
    this.#keepers.push(this.#keep(kept));
    return first;
  }

  /** Leaves for good, as a scaled down process does. */
  async remove(one: RoleProcess, signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    for (const kept of this.#kept) if (kept.process === one) kept.isWanted = false;
    await one.kill(signal);
  }

  async #keep(kept: Kept): Promise<void> {
    while (await this.#isMissed(kept)) {
      const { role, process: gone } = kept;
      if (gone !== undefined) this.restarts += 1;
      if (typeof gone?.exitCode === 'number') this.#say(`${role} ended with ${gone.exitCode}: ${gone.said.slice(-SAID)}`);
      kept.process = undefined;
      await sleep(RESTART_MS);
      kept.process = await RoleProcess.start(role, this.environment(role)).catch((error: unknown) => {
        this.#say(`${role} did not start: ${String(error).slice(0, SAID)}`);
        return undefined;
      });
    }
  }

  /** Once it is gone: whether it is to be started again. */
  async #isMissed(kept: Kept): Promise<boolean> {
    await kept.process?.gone;
    return kept.isWanted && !this.#closing;
  }

  async close(): Promise<void> {
    this.#closing = true;
    const end = (): Promise<unknown> => Promise.all(this.running.map((one) => one.kill()));
    await end();
    await Promise.all(this.#keepers);
    // One that was just being started.
    await end();
    await this.servers.close();
  }
}

interface Parts {
  readonly kafka: KafkaServers;
  readonly client: TestKafka;
  readonly topic: string;
  readonly redis: RedisServer;
  readonly cluster: RedisClusterServers | undefined;
  readonly postgres: PostgresServer;
  readonly database: string;
  /** Where PostgreSQL has one of its own. */
  readonly disk: Disk | undefined;
  readonly s3: S3Server;
  readonly bucket: string;
  /** In front of S3, behind the proxies of the network. */
  readonly s3Faults: FaultyHttp;
  readonly partitions: number;
}

export class Servers {
  readonly parts: Parts;
  /** Another one, once a replica was promoted. */
  redis: RedisServer;
  readonly #proxies: ReadonlyMap<string, readonly TcpProxy[]>;

  constructor(parts: Parts, proxies: ReadonlyMap<string, readonly TcpProxy[]>) {
    this.parts = parts;
    this.redis = parts.redis;
    this.#proxies = proxies;
  }

  /** Between a role and a server: one for each broker of Kafka. */
  proxies(role: Role, server: Server): readonly TcpProxy[] {
    return this.#proxies.get(`${role} ${server}`) ?? [];
  }

  settings(role: Role): Environment {
    const at = (server: Server): string => `127.0.0.1:${this.proxies(role, server)[0]?.port}`;
    const { s3, postgres, kafka, cluster, topic, bucket, database, partitions } = this.parts;
    const { credentials, region } = s3.access;
    const { user } = postgres.connection;
    return {
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      METERFOLD_DATABASE_URL: `postgres://${user}@${at('postgres')}/${database}`,
      METERFOLD_REDIS_URLS: cluster?.urls.join() ?? `redis://${at('redis')}`,
      METERFOLD_REDIS_MODE: cluster === undefined ? 'single' : 'cluster',
      METERFOLD_S3_BUCKET: bucket,
      METERFOLD_S3_ENDPOINT: `http://${at('s3')}`,
      METERFOLD_S3_REGION: region,
      METERFOLD_S3_PATH_STYLE: 'true',
      METERFOLD_KAFKA_BROKERS: this.proxies(role, 'kafka')
        .map(({ port }) => `127.0.0.1:${port}`)
        .join(),
      METERFOLD_KAFKA_TOPIC: topic,
      METERFOLD_KAFKA_MIN_INSYNC_REPLICAS: kafka.brokers.length > 1 ? '2' : '1',
      METERFOLD_PARTITIONS: String(partitions),
      METERFOLD_BUCKETS: String(BUCKETS),
      METERFOLD_EPOCH_MS: '60000',
      METERFOLD_TICK_MS: '500',
      METERFOLD_AFTER_TIMEOUT_MS: '2000',
    };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#proxies.values()].flat().map((proxy) => proxy.close()));
    const { s3Faults, client, cluster, postgres, s3, disk } = this.parts;
    await s3Faults.close();
    await Promise.all([client.close(), this.redis.stop(), cluster?.stop(), postgres.stop(), s3.stop()]);
    await disk?.remove();
  }
}

/** What is measured must not depend on how a client tells of its trouble: it says nothing. */
export const foreignClient = (brokers: readonly string[], clientId: string): Kafka =>
  new Kafka({
    clientId,
    brokers: [...brokers],
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 50, maxRetryTime: 500 },
  });

async function startServers({ brokers, redis: kind, partitions }: Size): Promise<Servers> {
  const proxies = new Map<string, TcpProxy[]>();
  const between = async (role: string, server: Server, port: number): Promise<number> => {
    const proxy = await TcpProxy.start(port);
    const name = `${role} ${server}`;
    proxies.set(name, [...(proxies.get(name) ?? []), proxy]);
    return proxy.port;
  };
  const told = (name: string, _node: number, port: number): Promise<number> => between(name.toLowerCase(), 'kafka', port);
  const more = { names: ROLES.map((role) => role.toUpperCase()), told };
  const disk = ownDisk();
  const [kafka, redis, cluster, postgres, s3] = await Promise.all([
    startKafka({ nodes: brokers, more }),
    startRedis(),
    kind === 'cluster' ? startCluster() : undefined,
    startPostgres({ durable: true, ...(disk && { within: disk.path }) }),
    startS3(),
  ]);
  const s3Faults = await faultyHttp(s3.access.endpoint);
  const ports = { redis: redis.port, postgres: postgres.connection.port, s3: Number(new URL(s3Faults.endpoint).port) };
  for (const role of ROLES)
    for (const server of ['redis', 'postgres', 's3'] as const) await between(role, server, ports[server]);
  const client = await connectKafka(kafka.brokers, kafka);
  const topic = await client.topic(partitions, {}, `usage-${randomUUID()}`);
  await sealQuickly(client, topic, [...Array(partitions).keys()]);
  const { database } = await postgres.createDatabase();
  const bucket = await s3.bucket();
  const parts = { kafka, client, topic, redis, cluster, postgres, database, disk, s3, bucket, s3Faults, partitions };
  return new Servers(parts, proxies);
}

/** Archive format 1 from the first record on: a fault of some seconds is to meet seals and publishes, not one a minute. */
export async function sealQuickly({ client }: TestKafka, topic: string, partitions: readonly number[]): Promise<void> {
  const producer = client.producer();
  await producer.connect();
  const value = '{"type":"format","format":1}';
  for (const partition of partitions)
    await producer.send({ topic, acks: -1, messages: [{ partition, value, headers: { meterfold: 'control' } }] });
  await producer.disconnect();
}
