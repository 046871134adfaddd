/** Rejects: kept whole with code, reason and position; listed newest first. */
import type { Pool } from 'pg';
import type { Reject } from '../../contract.ts';
import { readCursor, writeCursor } from './cursor.ts';
import { run } from './pool.ts';

/** Columns of several rejects, in the order of the table. */
export const rejectColumns = (rejects: readonly Reject[]): unknown[] => [
  rejects.map((r) => r.lineage),
  rejects.map((r) => r.position),
  rejects.map((r) => r.code),
  rejects.map((r) => r.field),
  rejects.map((r) => r.reason),
  rejects.map((r) => r.arrival),
  rejects.map((r) => r.key),
  rejects.map((r) => r.tenant),
  rejects.map((r) => r.eventType),
  rejects.map((r) => r.value),
];

export interface RejectRequest {
  readonly limit: number;
  readonly cursor?: string;
  readonly tenant?: string;
  readonly code?: string;
}
export interface Listed<T> {
  readonly rows: readonly T[];
  readonly next: string | undefined;
}

/** A reject, and whether it was redriven. */
export interface ListedReject extends Reject {
  /** When its record was put into the outbox once more, ms; null: never. */
  readonly redrivenAt: number | null;
}

export interface RejectRow {
  readonly lineage: string;
  readonly position: string;
  readonly code: string;
  readonly field: string | null;
  readonly reason: string;
  readonly arrival: number;
  readonly key: string | null;
  readonly tenant_id: string | null;
  readonly event_type: string | null;
  readonly value: Buffer;
  readonly [column: string]: unknown;
}

export const REJECT_COLUMNS = 'lineage, position, code, field, reason, arrival, key, tenant_id, event_type, value';

export const rejectOf = (row: RejectRow): Reject => ({
  lineage: row.lineage,
  position: row.position,
  code: row.code,
  field: row.field,
  reason: row.reason,
  arrival: row.arrival,
  key: row.key,
  tenant: row.tenant_id,
  eventType: row.event_type,
  value: row.value,
});

const LIST = `
  SELECT ${REJECT_COLUMNS}, (extract(epoch FROM redriven_at) * 1000)::bigint AS redriven_at FROM rejects
  WHERE ($1::text IS NULL OR code = $1) AND ($2::text IS NULL OR tenant_id = $2)
    AND ($3::bigint IS NULL OR (arrival, lineage, position, code) < ($3, $4::text, $5::text, $6::text))
  ORDER BY arrival DESC, lineage DESC, position DESC, code DESC LIMIT $7`;

/** Newest first. Throws BAD_REQUEST for a malformed cursor. */
export async function listRejects(pool: Pool, request: RejectRequest): Promise<Listed<ListedReject>> {
  const [arrival = null, lineage = null, position = null, code = null] = readCursor(request.cursor, 4);
  const values = [request.code ?? null, request.tenant ?? null, arrival, lineage, position, code, request.limit];
  const found = await run<RejectRow & { redriven_at: number | null }>(pool, 'list rejects', LIST, values);
  const rows = found.map((row): ListedReject => ({ ...rejectOf(row), redrivenAt: row.redriven_at }));
  const last = rows.length === request.limit ? rows.at(-1) : undefined;
  return { rows, next: last && writeCursor([String(last.arrival), last.lineage, last.position, last.code]) };
}
