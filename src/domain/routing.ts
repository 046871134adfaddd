/** Routing: which partition and which bucket an event belongs to. Pure functions of the event. */

const SEED = 0x9747b28c;
const BUCKET_SEED = 0x5bd1e995;

/**
 * MurmurHash2, 32 bit, as the Java client's default partitioner computes it (org.apache.kafka.common.utils.Utils.murmur2),
 * so that a key has the same home in Kafka and in the PostgreSQL log.
 */
export function murmur2(bytes: Uint8Array, seed = SEED): number {
  const m = 0x5bd1e995;
  const length = bytes.length;
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  let h = seed ^ length;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    let k = Math.imul(view.getInt32(at, true), m);
    k ^= k >>> 24;
    h = Math.imul(h, m) ^ Math.imul(k, m);
  }
  const rest = length - at;
  if (rest === 3) h ^= view.getUint8(at + 2) << 16;
  if (rest >= 2) h ^= view.getUint8(at + 1) << 8;
  if (rest >= 1) h = Math.imul(h ^ view.getUint8(at), m);
  h = Math.imul(h ^ (h >>> 13), m);
  return h ^ (h >>> 15);
}

const utf8 = new TextEncoder();

/** The broker's partition key. A tenant's events share one home until spread makes several. */
export const routingKeyOf = (event: { readonly tenant: string }): string => event.tenant;

export const partitionOf = (routingKey: string, partitions: number): number =>
  (murmur2(utf8.encode(routingKey)) & 0x7fffffff) % partitions;

/** Another seed than the partition's, so that the keys of one partition fall into all buckets. */
export const bucketOf = (routingKey: string, buckets: number): number =>
  (murmur2(utf8.encode(routingKey), BUCKET_SEED) >>> 0) % buckets;

/** The buckets that may hold a tenant's cells. */
export const bucketsOfTenant = (tenant: string, buckets: number): readonly number[] => [bucketOf(tenant, buckets)];
