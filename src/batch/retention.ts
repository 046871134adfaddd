/** Retention of the log: only what is published and old enough is forgotten. It never passes the archive. */
import type { BatchView, Catalog, Lineage, Position, Source } from '../contract.ts';
import { manifestRows } from '../sinks/archive/segments.ts';

export interface RetentionPorts {
  readonly source: Source;
  readonly catalog: Catalog;
  readonly batch: Pick<BatchView, 'cuts'>;
  /** How long published records stay, ms of arrival. */
  readonly keepMs: number;
}

/** Trims one lineage at the end of its last segment that is published and older than the bound. Answers records removed. */
export async function trimLineage(
  ports: RetentionPorts,
  lineage: Lineage,
  now: number,
  from: number,
): Promise<{ removed: number; next: number }> {
  const cut = (await ports.batch.cuts()).get(lineage.id)?.segments ?? 0;
  let before: Position | undefined;
  let next = from;
  for await (const row of manifestRows(ports.catalog, lineage.id, from)) {
    if (row.segment >= cut || row.endArrival > now - ports.keepMs) break;
    before = row.end;
    next = row.segment + 1;
  }
  return { removed: before === undefined ? 0 : await ports.source.trim(lineage.id, before), next };
}
