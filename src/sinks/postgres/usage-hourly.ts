/** Hourly usage, in pages. */
import type { Pool } from 'pg';
import { parseSum } from '../../domain/decimal.ts';
import { MeterError } from '../../errors.ts';
import { readCursor, writeCursor } from './cursor.ts';
import { run } from './pool.ts';
import type { Listed } from './rejects.ts';

export interface Hour {
  readonly tenant: string;
  readonly eventType: string;
  /** Hours since 1970. */
  readonly hour: number;
  readonly total: bigint;
  readonly count: number;
}

type HourRow = Omit<Hour, 'total'> & { readonly total: string };

export interface HourRequest {
  readonly limit: number;
  readonly cursor?: string;
  readonly tenant?: string;
  readonly eventType?: string;
  /** Hours since 1970, included. */
  readonly from?: number;
  /** Not included. */
  readonly to?: number;
}

const PAGE = `
  SELECT tenant_id AS tenant, event_type AS "eventType", (extract(epoch FROM hour) / 3600)::int AS hour,
    total_quantity AS total, event_count AS count
  FROM usage_hourly
  WHERE event_count > 0
    AND ($1::text IS NULL OR tenant_id = $1) AND ($2::text IS NULL OR event_type = $2)
    AND ($3::int IS NULL OR hour >= to_timestamp($3 * 3600.0)) AND ($4::int IS NULL OR hour < to_timestamp($4 * 3600.0))
    AND ($5::text IS NULL OR (tenant_id, event_type, hour) > ($5, $6::text, to_timestamp($7::int * 3600.0)))
  ORDER BY tenant_id, event_type, hour LIMIT $8`;

/** By tenant, event type and hour. Throws BAD_REQUEST for a malformed cursor. */
export async function listUsageHourly(pool: Pool, request: HourRequest): Promise<Listed<Hour>> {
  const [tenant = null, eventType = null, hour = null] = readCursor(request.cursor, 3);
  if (hour !== null && !/^\d{1,7}$/.test(hour))
    throw new MeterError('BAD_REQUEST', 'read the cursor: no hour in it', { field: 'cursor' });
  const filter = [request.tenant ?? null, request.eventType ?? null, request.from ?? null, request.to ?? null];
  const found = await run<HourRow>(pool, 'list the hourly usage', PAGE, [...filter, tenant, eventType, hour, request.limit]);
  const rows = found.map((row) => ({ ...row, total: parseSum(row.total) }));
  const last = rows.length === request.limit ? rows.at(-1) : undefined;
  return { rows, next: last && writeCursor([last.tenant, last.eventType, String(last.hour)]) };
}
