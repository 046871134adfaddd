/**
 * Metadata, version 12: who leads which partition, and the topic's uuid, which kafkajs (version 6) does not ask for.
 *
 *     request   [topics] (uuid, name, tags), auto-create, operations, tags
 *     response  throttle, [brokers] (id, host, port, rack, tags), cluster, controller,
 *               [topics] (error, name, uuid, internal, [partitions], operations, tags), tags
 *     partition error, index, leader, leader epoch, [replicas], [in sync], [offline], tags
 */
import { FlexibleReader, FlexibleWriter } from './bytes.ts';

export const METADATA = { key: 3, version: 12, name: 'Metadata' } as const;
const NO_UUID = '00000000-0000-0000-0000-000000000000';

export interface Node {
  readonly host: string;
  readonly port: number;
}
export interface PartitionState {
  readonly index: number;
  /** -1: none at the moment. */
  readonly leader: number;
  readonly epoch: number;
  readonly replicas: number;
  readonly inSync: number;
}
export interface TopicState {
  readonly error: number;
  readonly uuid: string;
  readonly partitions: readonly PartitionState[];
}
export interface Metadata {
  readonly nodes: ReadonlyMap<number, Node>;
  readonly topic: TopicState | undefined;
}

export function encodeMetadata(topic: string): Buffer {
  const ask = new FlexibleWriter().array(1).uuid(NO_UUID).string(topic).tags();
  return ask.int8(0).int8(0).tags().finish();
}

export function decodeMetadata(payload: Buffer): Metadata {
  const from = new FlexibleReader(payload);
  from.int32();
  const nodes = new Map(from.array(() => node(from)));
  from.string();
  from.int32();
  const [topic] = from.array(() => topicState(from));
  return { nodes, topic };
}

function node(from: FlexibleReader): [number, Node] {
  const id = from.int32();
  const [host, port] = [from.string(), from.int32()];
  from.string();
  from.tags();
  return [id, { host, port }];
}

function topicState(from: FlexibleReader): TopicState {
  const error = from.int16();
  from.string();
  const uuid = from.uuid();
  from.bool();
  const partitions = from.array(() => partition(from)).sort((a, b) => a.index - b.index);
  from.int32();
  from.tags();
  return { error, uuid, partitions };
}

function partition(from: FlexibleReader): PartitionState {
  from.int16();
  const [index, leader, epoch] = [from.int32(), from.int32(), from.int32()];
  const [replicas, inSync] = [from.array(from.int32), from.array(from.int32)];
  from.array(from.int32);
  from.tags();
  return { index, leader, epoch, replicas: replicas.length, inSync: inSync.length };
}
