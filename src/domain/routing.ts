/** Routing: which partition and which bucket an event belongs to. Pure functions of the event. */
import { MeterError } from '../errors.ts';
import { formatTime } from './time.ts';

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

/** From this event time on (microseconds), a tenant's events have so many routing keys. */
export interface SpreadStep {
  readonly from: number;
  readonly keys: number;
}
/** Hot tenants and their steps, ascending: append-only, and declared ahead of time, so that a routing key never changes. */
export type Spread = ReadonlyMap<string, readonly SpreadStep[]>;
export const NO_SPREAD: Spread = new Map();

interface Routed {
  readonly tenant: string;
  readonly key: string;
  readonly timestamp: number;
}

/** How many routing keys a tenant has at an event time: 1 before its first step. */
const keysAt = (spread: Spread, { tenant, timestamp }: Routed): number =>
  spread.get(tenant)?.findLast(({ from }) => from <= timestamp)?.keys ?? 1;

/**
 * The broker's partition key: the tenant, or `tenant#k` with a k by the idempotency key. A pure function of the event, so
 * that all copies of an event have one home.
 */
export function routingKeyOf(event: Routed, spread: Spread): string {
  const keys = keysAt(spread, event);
  return keys === 1 ? event.tenant : `${event.tenant}#${String(hashOf(event.key) % keys)}`;
}

const SPREAD_SEED = 0x1b873593;
const hashOf = (text: string): number => murmur2(utf8.encode(text), SPREAD_SEED) >>> 0;

/** Routing keys come again and again: so many are remembered with their hash. */
const MOST_REMEMBERED = 20_000;

function remembering(seed: number): (routingKey: string) => number {
  const known = new Map<string, number>();
  return (routingKey) => {
    const found = known.get(routingKey);
    if (found !== undefined) return found;
    if (known.size >= MOST_REMEMBERED) known.clear();
    const hash = murmur2(utf8.encode(routingKey), seed);
    known.set(routingKey, hash);
    return hash;
  };
}
const partitionHash = remembering(SEED);
const bucketHash = remembering(BUCKET_SEED);

export const partitionOf = (routingKey: string, partitions: number): number =>
  (partitionHash(routingKey) & 0x7fffffff) % partitions;

/** Another seed than the partition's, so that the keys of one partition fall into all buckets. */
export const bucketOf = (routingKey: string, buckets: number): number => (bucketHash(routingKey) >>> 0) % buckets;

/** The buckets that may hold a tenant's cells: of every routing key that it ever had. */
export function bucketsOfTenant(tenant: string, buckets: number, spread: Spread): readonly number[] {
  const most = Math.max(1, ...(spread.get(tenant) ?? []).map(({ keys }) => keys));
  const keys = most === 1 ? [] : Array.from({ length: most }, (_, k) => `${tenant}#${String(k)}`);
  return [...new Set([tenant, ...keys].map((key) => bucketOf(key, buckets)))].sort((a, b) => a - b);
}

/** A step must lie so far ahead that every process knows it before the first event of its time can arrive, ms. */
const AHEAD_MS = 10 * 60_000;

/** Throws BAD_METERS where a step was changed or taken back, or is not ahead of its time. */
export function demandAhead(recorded: Spread, declared: Spread, nowMs: number): void {
  for (const [tenant, steps] of recorded) {
    const now = declared.get(tenant) ?? [];
    const changed = steps.findIndex(({ from, keys }, n) => now[n]?.from !== from || now[n].keys !== keys);
    if (changed >= 0) throw badSpread(tenant, `step ${String(changed + 1)} was recorded and cannot change`);
  }
  const earliest = (nowMs + AHEAD_MS) * 1000;
  for (const [tenant, steps] of declared) {
    for (const { from } of steps.slice(recorded.get(tenant)?.length ?? 0))
      if (from < earliest)
        throw badSpread(tenant, `a new step begins at ${formatTime(from)}, less than 10 minutes from now`);
  }
}

const badSpread = (tenant: string, fact: string): MeterError =>
  new MeterError('BAD_METERS', `read the spread of ${tenant}: ${fact}`, {
    field: 'spread',
    value: tenant,
    allowed: 'recorded steps as they are, and new ones at least 10 minutes ahead: copies of an event must have one home',
  });
