/**
 * The only file that reaches into kafkajs: its connection (framing, TLS, SASL, request queue), its older requests,
 * its codecs. Not its consumer and producer, whose promises are weaker than those of a log (ADR 14). The version is
 * pinned, because what is below `kafkajs/src` is nobody's public contract.
 */
import { createRequire } from 'node:module';
import type { SASLOptions } from 'kafkajs';
import type { ConnectionOptions } from 'node:tls';

/** kafkajs's writer of bytes. What it holds is its `buffer`. */
export interface Encoder {
  writeBuffer(bytes: Buffer): Encoder;
  readonly buffer: Buffer;
}

export interface Protocol<T> {
  readonly request: {
    readonly apiKey: number;
    readonly apiVersion: number;
    readonly apiName: string;
    readonly encode: () => Promise<Encoder>;
  };
  readonly response: { readonly decode: (payload: Buffer) => Promise<T>; readonly parse: (decoded: T) => Promise<T> };
  readonly requestTimeout?: number;
  readonly logResponseError: false;
}

interface Connection {
  send<T>(protocol: Protocol<T>): Promise<T>;
  /** Fails what is under way, so that `disconnect` does not wait for it. */
  rejectRequests(error: Error): void;
}
interface ConnectionPool {
  getConnection(index: 0): Promise<Connection>;
  map(use: (connection: Connection) => void): void;
}

export interface TopicAsk<P> {
  readonly topic: string;
  readonly partitions: readonly P[];
}
interface ListedOffsets {
  readonly responses: readonly TopicAsk<{
    readonly partition: number;
    readonly errorCode: number;
    readonly offset: string;
  }>[];
}
interface DescribedConfigs {
  readonly resources: readonly {
    readonly configEntries: readonly { readonly configName: string; readonly configValue: string | null }[];
  }[];
}

interface JoinedGroup {
  readonly generationId: number;
  readonly leaderId: string;
  readonly memberId: string;
  /** Told to the leader alone. */
  readonly members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[];
}

/** One node over one connection. Throws what kafkajs throws. */
export interface Broker {
  readonly connectionPool: ConnectionPool;
  readonly versions: Readonly<Record<number, { readonly maxVersion: number } | undefined>>;
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  initProducerId(ask: { readonly transactionTimeout: number }): Promise<{ producerId: string; producerEpoch: number }>;
  listOffsets(ask: {
    readonly isolationLevel: 0 | 1;
    readonly topics: readonly TopicAsk<{ partition: number; timestamp: number }>[];
  }): Promise<ListedOffsets>;
  deleteRecords(ask: { readonly topics: readonly TopicAsk<{ partition: number; offset: string }>[] }): Promise<unknown>;
  findGroupCoordinator(ask: { readonly groupId: string; readonly coordinatorType: 0 }): Promise<{
    readonly coordinator: { readonly host: string; readonly port: number };
  }>;
  describeGroups(ask: { readonly groupIds: readonly string[] }): Promise<{
    readonly groups: readonly {
      readonly state: string;
      readonly protocolType: string;
      readonly members: readonly unknown[];
    }[];
  }>;
  joinGroup(ask: {
    readonly groupId: string;
    readonly sessionTimeout: number;
    readonly rebalanceTimeout: number;
    readonly memberId: string;
    readonly protocolType: string;
    readonly groupProtocols: readonly { readonly name: string; readonly metadata: Buffer }[];
  }): Promise<JoinedGroup>;
  syncGroup(ask: {
    readonly groupId: string;
    readonly generationId: number;
    readonly memberId: string;
    readonly groupAssignment: readonly { readonly memberId: string; readonly memberAssignment: Buffer }[];
  }): Promise<{ readonly memberAssignment: Buffer }>;
  heartbeat(ask: {
    readonly groupId: string;
    readonly groupGenerationId: number;
    readonly memberId: string;
  }): Promise<unknown>;
  leaveGroup(ask: { readonly groupId: string; readonly memberId: string }): Promise<unknown>;
  describeConfigs(ask: {
    readonly resources: readonly { type: number; name: string; configNames: readonly string[] }[];
  }): Promise<DescribedConfigs>;
}

export interface BrokerOptions {
  readonly host: string;
  readonly port: number;
  readonly clientId: string;
  readonly ssl?: ConnectionOptions;
  readonly sasl?: SASLOptions;
  readonly connectionTimeout: number;
  readonly requestTimeout: number;
}

/** The codecs of kafkajs, shared by all that encode and decode batches; snappy, lz4 and zstd have to be put in. */
export interface Codec {
  compress(encoder: { readonly buffer: Buffer }): Promise<Buffer>;
  decompress(bytes: Buffer): Promise<Buffer>;
}

const require = createRequire(import.meta.url);
const load = (name: string): unknown => require(`kafkajs/src/${name}`);

const EncoderClass = load('protocol/encoder') as new () => Encoder;
const BrokerClass = load('broker') as new (options: object) => Broker;
const ConnectionPoolClass = load('network/connectionPool') as new (options: object) => ConnectionPool;
const makeSocketFactory = load('network/socketFactory') as () => unknown;
const { createLogger, LEVELS } = load('loggers') as {
  createLogger: (options: object) => unknown;
  LEVELS: { readonly NOTHING: number };
};
export const { Codecs: codecs } = load('protocol/message/compression') as { Codecs: Record<number, () => Codec> };

export const encoderOf = (bytes: Buffer): Encoder => new EncoderClass().writeBuffer(bytes);

/** A failure is thrown, and told where it is waited for: kafkajs's own log would tell it once more. */
const silent = createLogger({ level: LEVELS.NOTHING, logCreator: () => () => undefined });

export function makeBroker(options: BrokerOptions): Broker {
  const common = { ...options, logger: silent, socketFactory: makeSocketFactory(), enforceRequestTimeout: true };
  return new BrokerClass({ connectionPool: new ConnectionPoolClass(common), logger: silent, allowAutoTopicCreation: false });
}
