/**
 * Fetch, version 13: one partition, by the uuid of its topic. By name (kafkajs: version 11) a topic that was deleted and made
 * again under its old name would be read on as if it were the old one. No fetch session: one partition needs none.
 *
 *     request   replica, wait, least bytes, most bytes, isolation, session, its epoch, [topics] (uuid, [partitions], tags),
 *               [forgotten], rack, tags
 *     partition index, leader epoch, offset, last fetched epoch, log start, most bytes, tags
 *     response  throttle, error, session, [topics] (uuid, [partitions], tags), tags
 *     partition index, error, high watermark, last stable offset, log start, [aborted] (producer, first offset, tags),
 *               preferred replica, records, tags
 */
import { FlexibleReader, FlexibleWriter } from './bytes.ts';

export const FETCH = { key: 1, version: 13, name: 'Fetch' } as const;
const READ_COMMITTED = 1;

export interface FetchAsk {
  readonly uuid: string;
  readonly partition: number;
  readonly leaderEpoch: number;
  readonly offset: number;
  readonly waitMs: number;
  readonly bytes: number;
}

export interface Aborted {
  readonly producer: bigint;
  readonly first: number;
}
export interface Fetched {
  readonly error: number;
  /** Behind what is replicated, and behind what no open transaction holds back. */
  readonly highWatermark: number;
  readonly lastStable: number;
  readonly aborted: readonly Aborted[];
  /** Record batches; the last one may break off. */
  readonly records: Buffer;
}

export function encodeFetch({ uuid, partition, leaderEpoch, offset, waitMs, bytes }: FetchAsk): Buffer {
  const limits = new FlexibleWriter().int32(-1).int32(waitMs).int32(1).int32(bytes).int8(READ_COMMITTED);
  const topic = limits.int32(0).int32(-1).array(1).uuid(uuid).array(1);
  const place = topic.int32(partition).int32(leaderEpoch).int64(offset).int32(-1).int64(-1).int32(bytes).tags().tags();
  return place.array(0).string('').tags().finish();
}

/** Throws RangeError for an answer that is not about one partition. */
export function decodeFetch(payload: Buffer): Fetched {
  const from = new FlexibleReader(payload);
  from.int32();
  const error = from.int16();
  from.int32();
  const [topic] = from.array(() => {
    from.uuid();
    const partitions = from.array(() => partitionOf(from));
    from.tags();
    return partitions;
  });
  const fetched = topic?.[0];
  if (error !== 0) return { error, highWatermark: -1, lastStable: -1, aborted: [], records: Buffer.alloc(0) };
  if (fetched === undefined) throw new RangeError('read Kafka: the answer to a fetch names no partition');
  return fetched;
}

function partitionOf(from: FlexibleReader): Fetched {
  from.int32();
  const error = from.int16();
  const [highWatermark, lastStable] = [from.offset(), from.offset()];
  from.offset();
  const aborted = from.array(() => abortedOf(from));
  from.int32();
  const records = from.bytes();
  from.tags();
  return { error, highWatermark, lastStable, aborted, records };
}

function abortedOf(from: FlexibleReader): Aborted {
  const [producer, first] = [from.int64(), from.offset()];
  from.tags();
  return { producer, first };
}
