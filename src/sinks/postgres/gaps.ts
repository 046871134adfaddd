/** Gaps of the log: rows of the manifest, and what operators say of them. */
import type { Pool } from 'pg';
import type { ListedGap } from '../../contract.ts';
import { run } from './pool.ts';

const LIST = `
  SELECT m.lineage, m.segment, m.gap_from AS "from", m."end" AS "to", m.gap_places AS places, m.gap_at AS at,
    m.gap_number AS number, m.end_arrival AS arrival, a.at AS acknowledged_at, a.note
  FROM manifest m LEFT JOIN gaps_acknowledged a USING (lineage, segment)
  WHERE m.gap_from IS NOT NULL ORDER BY m.lineage, m.segment`;

interface Row extends Omit<ListedGap, 'acknowledged'> {
  readonly acknowledged_at: number | null;
  readonly note: string | null;
  readonly [column: string]: unknown;
}

export async function listGaps(pool: Pool): Promise<ListedGap[]> {
  return (await run<Row>(pool, 'list the gaps of the log', LIST)).map(({ acknowledged_at: at, note, ...gap }) => ({
    ...gap,
    acknowledged: at === null ? null : { at, note: note ?? '' },
  }));
}

/** The first note stands: it is written over with itself, so that a gap that is there answers a row. */
const ACKNOWLEDGE = `
  INSERT INTO gaps_acknowledged AS a (lineage, segment, at, note)
  SELECT lineage, segment, $3, $4 FROM manifest WHERE lineage = $1 AND gap_from = $2
  ON CONFLICT (lineage, segment) DO UPDATE SET note = a.note RETURNING segment`;

export async function acknowledgeGap(
  pool: Pool,
  { lineage, from }: Pick<ListedGap, 'lineage' | 'from'>,
  { at, note }: { readonly at: number; readonly note: string },
): Promise<boolean> {
  return (await run(pool, `acknowledge a gap of ${lineage}`, ACKNOWLEDGE, [lineage, from, at, note])).length > 0;
}
