/** Rule P3: an event whose first copy may have arrived in an epoch that is gone is looked up in the batch view. */
import type { BatchView, Placed, Position } from '../../contract.ts';
import type { UsageEvent } from '../../domain/event.ts';

type OkRecord = Placed & { readonly event: UsageEvent };
const NONE: ReadonlySet<Position> = new Set();

/**
 * Positions of those of `old` that are duplicates: of the events before the bound of their bucket (`lookUpBefore`). A row with
 * the record's own position is the winner, not a duplicate.
 */
export async function knownDuplicates(
  batch: Pick<BatchView, 'holders'>,
  lineage: string,
  old: readonly OkRecord[],
): Promise<ReadonlySet<Position>> {
  if (old.length === 0) return NONE;
  const rows = await batch.holders(old.map(({ event }) => ({ tenant: event.tenant, key: event.key })));
  const held = new Map(rows.map((row) => [JSON.stringify([row.tenant, row.key]), row]));
  const isDuplicate = (r: OkRecord): boolean => {
    const row = held.get(JSON.stringify([r.event.tenant, r.event.key]));
    return row !== undefined && !(row.lineage === lineage && row.position === r.record.position);
  };
  return new Set(old.filter(isDuplicate).map(({ record }) => record.position));
}
