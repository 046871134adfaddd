/** The published view on PostgreSQL: snapshots, look-ups, and the transaction that publishes. */
import type { Pool } from 'pg';
import type { BatchSnapshot, BatchView, Filled, KeyRow, RollupQuery } from '../../contract.ts';
import type { Cell } from '../../domain/cell.ts';
import { parseSum } from '../../domain/decimal.ts';
import { mergeStates } from '../../domain/state.ts';
import { type CutRow, cutsOf } from './cuts.ts';
import { prepareMonths } from './months.ts';
import { type Database, databaseOf } from './database.ts';
import { type Queryable, run } from './pool.ts';
import { publishTransaction } from './publish-transaction.ts';

/**
 * Cuts and rollups in one statement, hence of one snapshot. Rollups are merged by window in the database: `latest` by its
 * order, which is compared as bytes.
 */
const SNAPSHOT = `
  WITH chosen AS (
    SELECT width_bucket(minute, $1::int[]) AS w, CASE WHEN $6::boolean THEN tenant_id END AS tenant, grp, meter, count, sum, min, max,
      latest_order, latest_value, state
    FROM rollups
    WHERE ($2::text IS NULL OR tenant_id = $2) AND ($3::text IS NULL OR meter = $3) AND minute >= $4 AND minute < $5
  ), merged AS (
    SELECT w, tenant, meter, grp, sum(count)::text AS count, sum(sum)::text AS sum, min(min)::text AS min, max(max)::text AS max,
      max(latest_order COLLATE "C") AS latest_order,
      (array_agg(latest_value ORDER BY latest_order COLLATE "C" DESC NULLS LAST))[1]::text AS latest_value,
      array_agg(state) FILTER (WHERE state IS NOT NULL) AS states
    FROM chosen GROUP BY w, tenant, meter, grp
  )
  SELECT (SELECT coalesce(json_agg(cuts), '[]') FROM cuts) AS cuts, (SELECT coalesce(json_agg(merged), '[]') FROM merged) AS cells,
    (SELECT incarnation::text FROM installation) AS incarnation`;

interface MergedRow {
  readonly w: number;
  readonly tenant: string | null;
  readonly meter: string;
  readonly grp: string;
  readonly count: string;
  readonly sum: string;
  readonly min: string | null;
  readonly max: string | null;
  readonly latest_order: string | null;
  readonly latest_value: string | null;
  readonly states: readonly string[] | null;
}

interface SnapshotRow {
  readonly cuts: CutRow[];
  readonly cells: MergedRow[];
  readonly incarnation: string | null;
  readonly [column: string]: unknown;
}

const optional = (text: string | null): bigint | undefined => (text === null ? undefined : parseSum(text));

function cellOf(row: MergedRow, { edges, tenant = '' }: RollupQuery): Cell {
  const { latest_order: order, latest_value: value } = row;
  return {
    tenant: row.tenant ?? tenant,
    meter: row.meter,
    minute: edges[row.w - 1] ?? 0,
    group: row.grp,
    count: Number(row.count),
    sum: parseSum(row.sum),
    min: optional(row.min),
    max: optional(row.max),
    latest: order === null || value === null ? undefined : { order, value: parseSum(value) },
    ...mergeStates(row.states ?? []),
  };
}

async function snapshot(on: Queryable, query: RollupQuery): Promise<BatchSnapshot> {
  const { edges } = query;
  const range = [query.fromMinute ?? edges[0] ?? 0, query.toMinute ?? edges.at(-1) ?? 0];
  const values: unknown[] = [edges, query.tenant ?? null, query.meter ?? null, ...range, query.byTenant ?? false];
  const [row] = await run<SnapshotRow>(on, 'read the batch view', SNAPSHOT, values);
  const { incarnation = null } = row ?? {};
  return {
    ...(incarnation === null ? {} : { incarnation }),
    cuts: cutsOf(row?.cuts ?? []),
    cells: (row?.cells ?? []).map((cell) => cellOf(cell, query)),
  };
}

const SERVE = 'INSERT INTO meters_serving (meter) VALUES ($1) ON CONFLICT DO NOTHING';

/** Versions of meters that answer. */
export const servingOf = async (on: Queryable): Promise<ReadonlySet<string>> =>
  new Set(
    (await run<{ meter: string }>(on, 'read which meters answer', 'SELECT meter FROM meters_serving')).map((r) => r.meter),
  );

async function filled(on: Queryable): Promise<Filled> {
  const text = 'SELECT meter, lineage, segments FROM meters_filled';
  const rows = await run<{ meter: string; lineage: string; segments: number }>(on, 'read how far meters are filled', text);
  const all = new Map<string, Map<string, number>>();
  for (const { meter, lineage, segments } of rows) {
    all.set(meter, (all.get(meter) ?? new Map<string, number>()).set(lineage, segments));
  }
  return all;
}

type Keys = readonly { readonly tenant: string; readonly key: string }[];

const HOLDERS = `
  SELECT e.tenant_id AS tenant, e.idempotency_key AS key, e.lineage, e.position, encode(e.content, 'hex') AS content
  FROM unnest($1::text[], $2::text[]) AS k (tenant, key)
  JOIN metering_events e ON e.tenant_id = k.tenant COLLATE "C" AND e.idempotency_key = k.key COLLATE "C"`;

/** The rows that hold these keys, as of the statement. */
export async function holders(on: Queryable, keys: Keys): Promise<KeyRow[]> {
  if (keys.length === 0) return [];
  const values = [keys.map((k) => k.tenant), keys.map((k) => k.key)];
  return run<KeyRow & Record<string, unknown>>(on, 'look keys up', HOLDERS, values);
}

export const postgresBatchView = (pool: Pool): BatchView => batchViewOn(databaseOf(pool), pool);

/** `months`: by which it is known what months there are; retention tells it of the pool. */
export function batchViewOn(on: Database, months: Queryable = on): BatchView {
  return {
    name: 'postgres',
    transaction: (work) => on.transaction('publish', (client) => work(publishTransaction(client))),
    prepare: (hours) => prepareMonths(months, hours),
    cuts: async () => cutsOf(await run<CutRow & Record<string, unknown>>(on, 'read the cuts', 'SELECT * FROM cuts')),
    filled: () => filled(on),
    serving: () => servingOf(on),
    serve: async (meter) => void (await run(on, `let ${meter} answer`, SERVE, [meter])),
    snapshot: (query) => snapshot(on, query),
    holders: (keys) => holders(on, keys),
  };
}
