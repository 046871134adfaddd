/** Heads, manifest, rejects and outbox on PostgreSQL. */
import type { Pool } from 'pg';
import type { Catalog, Lineage, Outgoing, Position, Reject } from '../../contract.ts';
import type { Head, RecordedGap, SegmentRow } from '../../domain/segment.ts';
import { acknowledgeGap, listGaps } from './gaps.ts';
import { run } from './pool.ts';
import { rejectColumns } from './rejects.ts';

/** The archive format of a lineage that was never read. It changes only at a control record of the log. */
export interface CatalogOptions {
  readonly firstFormat: number;
}

const HEAD = 'lineage, segment, start, format, rules, arrival, ended';

interface ManifestRow {
  readonly lineage: string;
  readonly segment: number;
  readonly start: string;
  readonly end: string;
  readonly format: number;
  readonly rules: number;
  readonly arrival: number;
  readonly end_arrival: number;
  readonly object_key: string | null;
  readonly object_sha256: string | null;
  readonly object_bytes: number | null;
  readonly records: number;
  readonly ok: number;
  readonly first_ok: number | null;
  readonly last_ok: number | null;
  readonly newest: number | null;
  readonly gap_from: string | null;
  readonly gap_places: number | null;
  readonly gap_at: number | null;
  readonly gap_number: number | null;
  readonly [column: string]: unknown;
}

const segmentRow = (r: ManifestRow): SegmentRow => ({
  lineage: r.lineage,
  segment: r.segment,
  start: r.start,
  end: r.end,
  format: r.format,
  rules: r.rules,
  arrival: r.arrival,
  endArrival: r.end_arrival,
  object: r.object_key === null ? null : { key: r.object_key, sha256: r.object_sha256 ?? '', bytes: r.object_bytes ?? 0 },
  records: r.records,
  ok: r.ok,
  firstOk: r.first_ok,
  lastOk: r.last_ok,
  newest: r.newest,
  ...(r.gap_from === null ? {} : { gap: { from: r.gap_from, places: r.gap_places, ...foundOf(r) } }),
});
const foundOf = (r: ManifestRow): Pick<RecordedGap, 'at' | 'number'> => ({ at: r.gap_at ?? 0, number: r.gap_number ?? 0 });

/**
 * One statement, hence one transaction without a round trip inside: the head is compared and set, and only where that
 * succeeded are the rows written.
 */
const SEAL = `
  WITH head AS (
    UPDATE heads SET segment = $4, start = $5, format = $6, arrival = $7, rules = $30
    WHERE lineage = $1 AND segment = $2 AND start = $3 AND NOT ended
    RETURNING lineage
  ), row AS (
    INSERT INTO manifest (lineage, segment, start, "end", format, arrival, end_arrival,
      object_key, object_sha256, object_bytes, records, ok, first_ok, last_ok, rules, newest,
      gap_from, gap_places, gap_at, gap_number)
    SELECT $1, $2, $3, $8, $9, $10, $7, $11, $12, $13, $14, $15, $16, $17, $31, $32, $33, $34, $35, $36 FROM head
  ), rejected AS (
    INSERT INTO rejects (lineage, position, code, field, reason, arrival, key, tenant_id, event_type, value)
    SELECT r.* FROM head, unnest($18::text[], $19::text[], $20::text[], $21::text[], $22::text[], $23::bigint[],
      $24::text[], $25::text[], $26::text[], $27::bytea[]) AS r
    ON CONFLICT DO NOTHING
  ), home AS (
    INSERT INTO outbox (routing_key, value)
    SELECT r.* FROM head, unnest($28::text[], $29::bytea[]) AS r
  )
  SELECT lineage FROM head`;

function sealValues(row: SegmentRow, next: Head, rejects: readonly Reject[], misrouted: readonly Outgoing[]): unknown[] {
  return [
    ...[
      row.lineage,
      row.segment,
      row.start,
      next.segment,
      next.start,
      next.format,
      row.endArrival,
      row.end,
      row.format,
      row.arrival,
    ],
    ...[row.object?.key ?? null, row.object?.sha256 ?? null, row.object?.bytes ?? null],
    ...[row.records, row.ok, row.firstOk, row.lastOk],
    ...rejectColumns(rejects),
    misrouted.map((record) => record.routingKey),
    misrouted.map((record) => record.value),
    next.rules,
    row.rules,
    row.newest,
    ...[row.gap?.from ?? null, row.gap?.places ?? null, row.gap?.at ?? null, row.gap?.number ?? null],
  ];
}

/** What is in force at the end of the parents is in force here: a child never reads their control records. */
const FIRST_HEAD = `
  INSERT INTO heads (lineage, segment, start, format, rules, arrival)
  SELECT $1, 0, $2, coalesce((SELECT format FROM heads WHERE lineage = ANY ($4::text[]) ORDER BY rules DESC, lineage LIMIT 1), $3),
    coalesce((SELECT max(rules) FROM heads WHERE lineage = ANY ($4::text[])), 1), 0
  WHERE (SELECT count(*) FROM heads WHERE lineage = ANY ($4::text[]) AND ended) = cardinality($4::text[])
  ON CONFLICT DO NOTHING`;

const SEGMENTS_BEFORE = `
  SELECT heads.lineage, last.segment + 1 AS segments
  FROM heads CROSS JOIN LATERAL (
    SELECT segment FROM manifest
    WHERE manifest.lineage = heads.lineage AND first_ok < $1
    ORDER BY segment DESC LIMIT 1
  ) AS last`;

export function postgresCatalog(pool: Pool, { firstFormat }: CatalogOptions): Catalog {
  const headOf = async (lineage: Lineage): Promise<Head | undefined> => {
    const what = `read the head of ${lineage.id}`;
    const look = () =>
      run<Head & Record<string, unknown>>(pool, what, `SELECT ${HEAD} FROM heads WHERE lineage = $1`, [lineage.id]);
    const [found] = await look();
    if (found !== undefined) return found;
    await run(pool, what, FIRST_HEAD, [lineage.id, lineage.origin, firstFormat, lineage.parents]);
    return (await look())[0];
  };
  const rows = async (what: string, text: string, values: unknown[]): Promise<SegmentRow[]> =>
    (await run<ManifestRow>(pool, what, text, values)).map(segmentRow);
  return {
    head: headOf,
    heads: () => run<Head & Record<string, unknown>>(pool, 'read the heads', `SELECT ${HEAD} FROM heads ORDER BY lineage`),
    manifest: (lineage, from, limit) =>
      rows(
        `read the manifest of ${lineage}`,
        `SELECT * FROM manifest WHERE lineage = $1 AND segment >= $2 ORDER BY segment LIMIT $3`,
        [lineage, from, limit],
      ),
    rowOf: async (lineage: string, position: Position) =>
      (
        await rows(
          `find the segment of ${position} in ${lineage}`,
          `SELECT * FROM manifest WHERE lineage = $1 AND "end" > $2 ORDER BY "end" LIMIT 1`,
          [lineage, position],
        )
      )[0],
    segmentsBefore: async (arrival) => {
      const found = await run<{ lineage: string; segments: number }>(pool, 'find segments by arrival', SEGMENTS_BEFORE, [
        arrival,
      ]);
      return new Map(found.map(({ lineage, segments }) => [lineage, segments]));
    },
    seal: async (row, next, rejects, misrouted) => {
      const values = sealValues(row, next, rejects, misrouted);
      const moved = await run(pool, `seal segment ${row.segment} of ${row.lineage}`, SEAL, values);
      return moved.length > 0 ? 'sealed' : 'lost';
    },
    end: async ({ lineage, start }) =>
      void (await run(pool, `end ${lineage}`, `UPDATE heads SET ended = true WHERE lineage = $1 AND start = $2`, [
        lineage,
        start,
      ])),
    gaps: () => listGaps(pool),
    acknowledge: (gap, by) => acknowledgeGap(pool, gap, by),
    outbox: async (limit) => {
      const text = `SELECT id, routing_key, value FROM outbox ORDER BY id LIMIT $1`;
      const found = await run<{ id: number; routing_key: string; value: Buffer }>(pool, 'read the outbox', text, [limit]);
      return found.map(({ id, routing_key: routingKey, value }) => ({ id: String(id), routingKey, value }));
    },
    settle: async (ids) =>
      void (await run(pool, 'settle the outbox', `DELETE FROM outbox WHERE id = ANY ($1::bigint[])`, [ids])),
  };
}
