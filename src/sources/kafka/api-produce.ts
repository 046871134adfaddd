/**
 * Produce: one record batch to one partition, never more (kafkajs tracks answers by broker, which loses acknowledged messages
 * when a leader moves). Version 13 names the topic by its uuid, so that nothing is ever acknowledged by a topic that was made
 * again under the old name; brokers before 4.1 are asked by name, version 9, and then which topic that is.
 *
 *     request   transaction, acks, timeout, [topics] (name or uuid, [partitions] (index, records, tags), tags), tags
 *     response  [topics] (name or uuid, [partitions], tags), throttle, tags
 *     partition index, error, base offset, append time, log start, [record errors] (index, message, tags), message, tags
 */
import { FlexibleReader, FlexibleWriter } from './bytes.ts';

export const PRODUCE = { key: 0, name: 'Produce' } as const;
/** From here on the topic is named by its uuid. */
export const PRODUCE_BY_UUID = 13;
export const PRODUCE_BY_NAME = 9;
/** Acknowledged by every replica in sync; `min.insync.replicas` says how many those are at least. */
const ACKS_ALL = -1;

export interface ProduceAsk {
  readonly version: number;
  readonly topic: string;
  readonly uuid: string;
  readonly partition: number;
  readonly timeoutMs: number;
  readonly batch: Buffer;
}
export interface Produced {
  readonly error: number;
  readonly base: number;
  readonly message: string;
}

export function encodeProduce({ version, topic, uuid, partition, timeoutMs, batch }: ProduceAsk): Buffer {
  const ask = new FlexibleWriter().nothing().int16(ACKS_ALL).int32(timeoutMs).array(1);
  const named = version >= PRODUCE_BY_UUID ? ask.uuid(uuid) : ask.string(topic);
  return named.array(1).int32(partition).bytes(batch).tags().tags().tags().finish();
}

/** Throws RangeError for an answer that is not about one partition. */
export function decodeProduce(payload: Buffer, version: number): Produced {
  const from = new FlexibleReader(payload);
  const [topic] = from.array(() => {
    if (version >= PRODUCE_BY_UUID) from.uuid();
    else from.string();
    const partitions = from.array(() => partitionOf(from));
    from.tags();
    return partitions;
  });
  const produced = topic?.[0];
  if (produced === undefined) throw new RangeError('write to Kafka: the answer names no partition');
  return produced;
}

function partitionOf(from: FlexibleReader): Produced {
  from.int32();
  const error = from.int16();
  const base = from.offset();
  from.int64();
  from.int64();
  from.array(() => {
    from.int32();
    from.string();
    from.tags();
  });
  const message = from.string();
  from.tags();
  return { error, base, message };
}
