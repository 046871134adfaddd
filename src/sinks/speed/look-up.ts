/** Rule P3: an event whose first copy may have arrived in an epoch that is gone is looked up in the batch view. */
import type { BatchView, Placed, Position } from '../../contract.ts';
import { lookUpBefore } from '../../domain/epoch.ts';
import type { UsageEvent } from '../../domain/event.ts';

interface Bucketed {
  readonly r: Placed & { readonly event: UsageEvent };
  readonly bucket: number;
}

/** Positions of the records that are duplicates. A row with the record's own position is the winner, not a duplicate. */
export async function knownDuplicates(
  batch: Pick<BatchView, 'holders'>,
  lineage: string,
  records: readonly Bucketed[],
  oldestOf: (bucket: number) => number,
  epochMs: number,
): Promise<ReadonlySet<Position>> {
  const old = records.filter(({ r, bucket }) => r.event.timestamp < lookUpBefore(oldestOf(bucket), epochMs));
  if (old.length === 0) return new Set();
  const rows = await batch.holders(old.map(({ r }) => ({ tenant: r.event.tenant, key: r.event.key })));
  const held = new Map(rows.map((row) => [JSON.stringify([row.tenant, row.key]), row]));
  const isDuplicate = ({ r }: Bucketed): boolean => {
    const row = held.get(JSON.stringify([r.event.tenant, r.event.key]));
    return row !== undefined && !(row.lineage === lineage && row.position === r.record.position);
  };
  return new Set(old.filter(isDuplicate).map(({ r }) => r.record.position));
}
