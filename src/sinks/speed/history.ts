/** The keys that a bucket must know again after a loss, read from the archive: published, and of an epoch that is kept. */
import type { Archive, Catalog, Cut, RuleSets } from '../../contract.ts';
import { CUT_END } from '../../contract.ts';
import { keyDigest } from '../../domain/canonical.ts';
import { epochOf, lookUpBefore } from '../../domain/epoch.ts';
import { bucketOf, routingKeyOf } from '../../domain/routing.ts';
import { manifestRows, readSegment } from '../archive/segments.ts';

export interface KnownKey {
  readonly bucket: number;
  readonly digest: string;
  readonly epoch: number;
  /** Microseconds. */
  readonly timestamp: number;
}

export interface HistoryPorts {
  readonly archive: Archive;
  readonly catalog: Catalog;
  readonly ruleSets: Pick<RuleSets, 'newest' | 'get'>;
  readonly buckets: number;
  readonly epochMs: number;
}

/** Keys below the cut that arrived in `oldest` or later, a page a segment. */
export async function* publishedKeys(
  ports: HistoryPorts,
  lineage: string,
  cut: Cut,
  oldest: number,
): AsyncGenerator<KnownKey[]> {
  const { epochMs, buckets } = ports;
  const { spread } = ports.ruleSets.newest;
  for await (const row of manifestRows(ports.catalog, lineage)) {
    if (row.segment >= cut.segments) return;
    if (row.lastOk === null || epochOf(row.lastOk, epochMs) < oldest) continue;
    // History that was just imported arrived now, and is old all the same: every copy of it is looked up.
    if (row.newest !== null && row.newest < lookUpBefore(oldest, epochMs)) continue;
    const page: KnownKey[] = [];
    for (const { event, verdict, arrival } of await readSegment(ports.archive, row)) {
      const epoch = epochOf(arrival, epochMs);
      if (verdict !== 'ok' || event === null || epoch < oldest) continue;
      const bucket = bucketOf(routingKeyOf(event, spread), buckets);
      page.push({ bucket, epoch, timestamp: event.timestamp, digest: keyDigest(event.tenant, event.key) });
    }
    yield page;
  }
}

/** Whether a key must be in the digests: older events are looked up in the batch view anyway. */
export const isKept = (key: KnownKey, oldest: number, epochMs: number): boolean =>
  key.epoch >= oldest && key.timestamp >= lookUpBefore(oldest, epochMs);

/**
 * What an empty bucket takes for its oldest epoch: the newest arrival epoch less one for clock skew, but nothing
 * unpublished may lie before it. Where the first unpublished event is not known, the running maximum of arrival before it
 * is a lower bound; an epoch too old costs memory, never exactness.
 */
export async function oldestAfterLoss(ports: HistoryPorts, cuts: ReadonlyMap<string, Cut>): Promise<number> {
  const heads = await ports.catalog.heads();
  let oldest = epochOf(Math.max(0, ...heads.map((head) => head.arrival)), ports.epochMs) - 1;
  for (const head of heads) {
    const from = cuts.get(head.lineage)?.segments ?? 0;
    if (from === CUT_END) continue;
    let first: number | undefined = head.ended ? undefined : head.arrival;
    for await (const row of manifestRows(ports.catalog, head.lineage, from)) {
      if (row.firstOk === null) continue;
      first = row.firstOk;
      break;
    }
    if (first !== undefined) oldest = Math.min(oldest, epochOf(first, ports.epochMs));
  }
  return Math.max(0, oldest);
}
