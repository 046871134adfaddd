/** What a log on Kafka is opened with. */
import type { ConnectionOptions } from 'node:tls';
import type { Clock } from '../../clock.ts';
import { MeterError } from '../../errors.ts';
import type { Node } from './api-metadata.ts';
import type { Compression } from './compression.ts';
import type { RegistryOptions } from './registry.ts';
import type { Sasl } from './security.ts';

export interface KafkaLogOptions {
  /** `host:port` of any nodes of the cluster. */
  readonly brokers: readonly string[];
  readonly topic: string;
  /** Of this generation of the topic, as recorded at the first start: homes are by this number, whatever is added later. */
  readonly partitions: number;
  readonly clock: Clock;
  /** What `min.insync.replicas` of the topic has to be at least. 1 where there is one broker. */
  readonly minInsyncReplicas?: number;
  readonly clientId?: string;
  readonly tls?: ConnectionOptions;
  readonly sasl?: Sasl;
  /** A member of a group that is not heard of for so long is taken for dead. The cluster has bounds for it. */
  readonly sessionMs?: number;
  readonly heartbeatMs?: number;
  /** How long a group that is formed anew waits for a member. Nobody drains for it: members go on with what they keep. */
  readonly rebalanceMs?: number;
  /** How long a failure is tried again before it is told: longer than an election takes. */
  readonly patienceMs?: number;
  readonly connectMs?: number;
  readonly answerMs?: number;
  readonly fetchWaitMs?: number;
  readonly lingerMs?: number;
  readonly batchBytes?: number;
  readonly compression?: Compression;
  /** CloudEvents in binary mode are read as such. */
  readonly cloudEvents?: boolean;
  /** Confluent's wire format is read, by the schemas of this registry. */
  readonly registry?: RegistryOptions;
  /** An open transaction is taken for hung after this: the cluster's `transaction.max.timeout.ms`. */
  readonly hungAfterMs?: number;
}

export interface Sharing {
  readonly groupId: string;
  /** Told of each failure that is waited out. */
  readonly troubled?: (error: unknown) => void;
  /** Told whenever this process has its share. */
  readonly settled?: () => void;
}

export const DEFAULTS = {
  minInsyncReplicas: 2,
  clientId: 'meterfold',
  sessionMs: 10_000,
  heartbeatMs: 2000,
  rebalanceMs: 10_000,
  patienceMs: 15_000,
  connectMs: 5000,
  answerMs: 15_000,
  fetchWaitMs: 500,
  lingerMs: 5,
  batchBytes: 512 * 1024,
  compression: 'none',
  cloudEvents: false,
  hungAfterMs: 900_000,
} as const satisfies Partial<KafkaLogOptions>;

export type Settings = KafkaLogOptions & Required<Pick<KafkaLogOptions, keyof typeof DEFAULTS>>;

/** `host:port`, also with an IPv6 address in brackets. Throws BAD_CONFIG. */
export function nodeOf(broker: string): Node {
  const [, host, port] = /^(?:\[([^\]]+)\]|[^:[\]]+):(\d{1,5})$/.exec(broker) ?? [];
  if (port === undefined)
    throw new MeterError('BAD_CONFIG', `open Kafka: ${broker} is no broker`, {
      field: 'brokers',
      value: broker,
      allowed: 'host:port',
    });
  return { host: host ?? broker.slice(0, broker.lastIndexOf(':')), port: Number(port) };
}
