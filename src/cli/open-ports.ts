/** The archive and the speed store of an installation, by configuration. Their clients are loaded only where they are used. */
import { type Config, epochMsOf } from '../config.ts';
import type { Clock } from '../clock.ts';
import type { Archive, DatabaseState, SpeedStore } from '../contract.ts';
import { MeterError } from '../errors.ts';
import type { OpenedLog } from '../log-module.ts';
import { fileArchive, sweepTemporaries } from '../sinks/archive/files.ts';
import type { S3Options } from '../sinks/archive/s3-client.ts';
import { MemorySpeedStore } from '../sinks/memory/store.ts';
import type { Fixed } from '../sinks/postgres/installation.ts';
import type { PoolOptions } from '../sinks/postgres/pool.ts';
import type { RedisSpeedStoreOptions } from '../sinks/redis/store.ts';
import type { ExpandRequest } from '../sources/generations/expand.ts';
import type { KafkaLogOptions } from '../sources/kafka/options.ts';
import type { LogPorts } from './open-log.ts';

export interface Opened<T> {
  readonly port: T;
  close(): Promise<void>;
}

const nothing = (): Promise<void> => Promise.resolve();

/** Formats that seal a few seconds of events each: in S3 that would be a request every two seconds and lineage. */
const SMALL_FORMATS: ReadonlySet<number> = new Set([1, 3]);
const [SMALL_FORMAT, LARGE_FORMAT] = [1, 2];

/** Throws BAD_CONFIG, ARCHIVE_MISCONFIGURED, ARCHIVE_UNAVAILABLE. */
export async function openArchive(config: Config, archiveDir: string): Promise<Opened<Archive>> {
  const options = s3OptionsOf(config);
  if (options === undefined) {
    await sweepTemporaries(archiveDir);
    return { port: fileArchive(archiveDir), close: nothing };
  }
  const { openS3Archive } = await import('../sinks/archive/s3.ts');
  const archive = await openS3Archive(options);
  return {
    port: archive,
    close: () => {
      archive.close();
      return nothing();
    },
  };
}

/** Undefined: the archive is a directory. Throws BAD_CONFIG. */
export function s3OptionsOf(config: Config): S3Options | undefined {
  const { s3Bucket: bucket, s3Prefix, s3Region, s3Endpoint, s3KmsKeyId, s3PathStyle: pathStyle } = config;
  if (bucket === undefined) return undefined;
  demandLarge(firstFormat(config));
  const given = { prefix: s3Prefix, region: s3Region, endpoint: s3Endpoint, kmsKeyId: s3KmsKeyId };
  return { bucket, pathStyle, ...defined(given) };
}

/** What the first start records, and every later one is compared with. */
export function fixedOf(config: Config): Fixed {
  const { partitions, buckets, keyRetentionMs, usageRetentionMonths } = config;
  return { partitions, buckets, epochMs: epochMsOf(config), keyRetentionMs, usageRetentionMonths };
}

/** Of lineages that are read for the first time. */
export const firstFormat = ({ archiveFormat, s3Bucket }: Config): number =>
  archiveFormat ?? (s3Bucket === undefined ? SMALL_FORMAT : LARGE_FORMAT);

function demandLarge(format: number): void {
  if (!SMALL_FORMATS.has(format)) return;
  throw new MeterError('BAD_CONFIG', `open the archive in S3: format ${String(format)} seals every two seconds`, {
    field: 'archiveFormat',
    value: String(format),
    allowed: '2, 4, 5, 6 or 7',
  });
}

/** `database`: whose counters they are. Throws BAD_CONFIG, SPEED_MISCONFIGURED, SPEED_UNAVAILABLE. */
export async function openSpeedStore(config: Config, database: DatabaseState): Promise<Opened<SpeedStore>> {
  const options = redisOptionsOf(config, database);
  if (options === undefined) return { port: new MemorySpeedStore(config.buckets), close: nothing };
  const { openRedisSpeedStore } = await import('../sinks/redis/store.ts');
  const store = await openRedisSpeedStore(options);
  return { port: store, close: () => store.close() };
}

/** Undefined: counters are in this process. Throws BAD_CONFIG. */
export function redisOptionsOf(config: Config, database?: DatabaseState): RedisSpeedStoreOptions | undefined {
  const { redisUrls: urls, redisMode: mode, redisSentinelName, redisPrefix: prefix, buckets } = config;
  if (urls === undefined) return undefined;
  if (mode === 'sentinel' && redisSentinelName === undefined) throw needs('redisMode', mode, 'redisSentinelName');
  return { urls, mode, prefix, buckets, ...defined({ sentinelName: redisSentinelName, database }) };
}

/** Of a PostgreSQL server. Throws BAD_CONFIG. */
export function poolOptionsOf(config: Config, role: string): PoolOptions {
  const { databaseConnections: max, databaseConnectTimeoutMs: connectTimeoutMs } = config;
  const { databaseStatementTimeoutMs: statementTimeoutMs, databaseLockTimeoutMs: lockTimeoutMs } = config;
  if (lockTimeoutMs > statementTimeoutMs)
    throw new MeterError(
      'BAD_CONFIG',
      'read the configuration: a lock would be waited for longer than a statement may take',
      {
        field: 'databaseLockTimeoutMs',
        value: String(lockTimeoutMs),
        allowed: `at most databaseStatementTimeoutMs, ${String(statementTimeoutMs)}`,
      },
    );
  const idleInTransactionTimeoutMs = config.databaseIdleInTransactionTimeoutMs;
  const limits = { statementTimeoutMs, lockTimeoutMs, idleInTransactionTimeoutMs };
  return { max, connectTimeoutMs, application: `meterfold ${role}`, ...limits };
}

/** Throws BAD_CONFIG, LOG_MISCONFIGURED, INSTALLATION_DIFFERS, LOG_UNAVAILABLE. */
export async function openKafka({ config, clock, pool }: LogPorts, brokers: readonly string[]): Promise<OpenedLog> {
  const { partitions, kafkaGroup: groupId } = config;
  const options = kafkaOptionsOf(config, brokers, clock);
  const [{ openKafkaLog }, { openGenerations }, { postgresGenerations }, { expand }] = await Promise.all([
    import('../sources/kafka/log.ts'),
    import('../sources/generations/log.ts'),
    import('../sources/generations/postgres.ts'),
    import('../sources/generations/expand.ts'),
  ]);
  const open = (topic: string, of: number) => openKafkaLog({ ...options, topic, partitions: of });
  const { topic } = options;
  const of = { registry: postgresGenerations(pool), first: { topic, partitions }, open };
  const log = await openGenerations({ ...of, name: `kafka topic ${topic}`, clock, groupId });
  return Object.assign(log, { expand: (to: ExpandRequest, stop: AbortSignal) => expand(of, to, stop) });
}

/** Throws BAD_CONFIG. */
export function kafkaOptionsOf(config: Config, brokers: readonly string[], clock: Clock): KafkaLogOptions {
  const { kafkaTopic: topic, partitions, kafkaMinInsyncReplicas: minInsyncReplicas, kafkaTls } = config;
  if (topic === undefined) throw needs('kafkaBrokers', brokers.join(), 'kafkaTopic');
  const given = defined({ tls: kafkaTls ? {} : undefined, sasl: saslOf(config) });
  return { brokers, topic, partitions, clock, minInsyncReplicas, ...groupTimes(config), ...given };
}

/** Two heartbeats may be lost; and who lives is told by one that others join, before they wait in vain. */
function groupTimes(config: Config): Required<Pick<KafkaLogOptions, 'sessionMs' | 'heartbeatMs' | 'rebalanceMs'>> {
  const { kafkaSessionMs: sessionMs, kafkaHeartbeatMs: heartbeatMs, kafkaRebalanceMs: rebalanceMs } = config;
  const most = Math.floor(Math.min(sessionMs / 3, rebalanceMs - 1));
  if (heartbeatMs <= most) return { sessionMs, heartbeatMs, rebalanceMs };
  throw new MeterError('BAD_CONFIG', 'read the configuration: heartbeats are too rare for the times of the group', {
    field: 'kafkaHeartbeatMs',
    value: String(heartbeatMs),
    allowed: `at most ${String(most)}: a third of kafkaSessionMs ${String(sessionMs)}, and below kafkaRebalanceMs ${String(rebalanceMs)}`,
  });
}

function saslOf({ kafkaSaslMechanism: mechanism, kafkaUsername: username, kafkaPassword: password }: Config) {
  if (mechanism === undefined) return undefined;
  if (username === undefined) throw needs('kafkaSaslMechanism', mechanism, 'kafkaUsername');
  if (password === undefined) throw needs('kafkaSaslMechanism', mechanism, 'kafkaPassword');
  return { mechanism, username, password };
}

const needs = (field: string, value: string, other: string): MeterError =>
  new MeterError('BAD_CONFIG', `read the configuration: ${field} needs ${other}`, {
    field: other,
    allowed: `${other} beside ${field} ${JSON.stringify(value)}`,
  });

type Defined<T> = { readonly [K in keyof T]?: Exclude<T[K], undefined> };
/** An option that is given as undefined would stand in the way of its default. */
const defined = <T extends object>(options: T): Defined<T> =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Defined<T>;
