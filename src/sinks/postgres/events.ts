/** Lists of what is published: events newest first, tenants, event types. */
import type { Pool } from 'pg';
import { canonicalJson } from '../../domain/canonical.ts';
import { parseSum } from '../../domain/decimal.ts';
import type { UsageEvent } from '../../domain/event.ts';
import { MeterError } from '../../errors.ts';
import { readCursor, writeCursor } from './cursor.ts';
import { run } from './pool.ts';
import type { Listed } from './rejects.ts';

export interface PublishedEvent {
  readonly lineage: string;
  readonly position: string;
  /** Ms. */
  readonly arrival: number;
  readonly event: UsageEvent;
}

interface Row {
  readonly tenant_id: string;
  readonly idempotency_key: string;
  readonly event_type: string;
  readonly quantity: string;
  readonly micros: number;
  readonly subject: string | null;
  readonly properties: unknown;
  readonly lineage: string;
  readonly position: string;
  readonly arrival: number;
  readonly [column: string]: unknown;
}

const LIST = `
  SELECT tenant_id, idempotency_key, event_type, quantity, subject, properties, lineage, position, arrival,
    (extract(epoch FROM event_timestamp) * 1000000)::bigint AS micros
  FROM metering_events
  WHERE ($1::text IS NULL OR tenant_id = $1)
    AND ($6::text IS NULL OR event_type = $6)
    AND ($7::bigint IS NULL OR event_timestamp >= to_timestamp(0) + $7 * interval '1 microsecond')
    AND ($8::bigint IS NULL OR event_timestamp < to_timestamp(0) + $8 * interval '1 microsecond')
    AND ($2::bigint IS NULL OR (event_timestamp, tenant_id, idempotency_key) < (to_timestamp(0) + $2 * interval '1 microsecond', $3::text, $4::text))
  ORDER BY event_timestamp DESC, tenant_id DESC, idempotency_key DESC LIMIT $5`;

const published = (r: Row): PublishedEvent => ({
  lineage: r.lineage,
  position: r.position,
  arrival: r.arrival,
  event: {
    tenant: r.tenant_id,
    type: r.event_type,
    quantity: parseSum(r.quantity),
    key: r.idempotency_key,
    timestamp: r.micros,
    subject: r.subject,
    properties: canonicalJson(r.properties),
  },
});

export interface EventRequest {
  readonly limit: number;
  readonly cursor?: string;
  readonly tenant?: string;
  readonly eventType?: string;
  /** Microseconds since 1970, included. */
  readonly from?: number;
  /** Not included. */
  readonly to?: number;
}

/** By event time, newest first. Throws BAD_REQUEST for a malformed cursor. */
export async function listEvents(pool: Pool, request: EventRequest): Promise<Listed<PublishedEvent>> {
  const [micros = null, tenant = null, key = null] = readCursor(request.cursor, 3);
  if (micros !== null && !/^\d{1,16}$/.test(micros))
    throw new MeterError('BAD_REQUEST', 'read the cursor: no time in it', { field: 'cursor' });
  const range = [request.eventType ?? null, request.from ?? null, request.to ?? null];
  const values = [request.tenant ?? null, micros, tenant, key, request.limit, ...range];
  const rows = (await run<Row>(pool, 'list events', LIST, values)).map(published);
  const last = rows.length === request.limit ? rows.at(-1)?.event : undefined;
  return { rows, next: last && writeCursor([String(last.timestamp), last.tenant, last.key]) };
}

/** From the daily usage: few rows a tenant, where the events are many, and kept when hours and keys are not. */
export async function listTenants(pool: Pool): Promise<{ tenant: string; events: number }[]> {
  const text = `SELECT tenant_id AS tenant, sum(event_count)::bigint AS events FROM usage_daily GROUP BY 1 HAVING sum(event_count) > 0 ORDER BY 1`;
  return run<{ tenant: string; events: number }>(pool, 'list tenants', text);
}

export async function listEventTypes(pool: Pool): Promise<{ eventType: string; events: number }[]> {
  const text = `SELECT event_type AS "eventType", sum(event_count)::bigint AS events FROM usage_daily GROUP BY 1 HAVING sum(event_count) > 0 ORDER BY 1`;
  return run<{ eventType: string; events: number }>(pool, 'list event types', text);
}

/** A row of usage_daily. */
export interface DayUsage {
  readonly tenant: string;
  readonly eventType: string;
  /** ISO 8601, UTC. */
  readonly day: string;
  readonly total: bigint;
  readonly count: number;
}

/** Daily usage as it is stored, in key order. */
export async function usageDaily(pool: Pool): Promise<DayUsage[]> {
  const text = `SELECT tenant_id AS tenant, event_type AS "eventType", day, total_quantity AS total, event_count AS count
    FROM usage_daily ORDER BY 1, 2, 3`;
  type Row = Omit<DayUsage, 'total'> & { readonly total: string };
  return (await run<Row>(pool, 'read the daily usage', text)).map((row) => ({ ...row, total: parseSum(row.total) }));
}
