/**
 * Each index answers a question: over a million rows and more, after ANALYZE, with the planner as the server has it, the plan
 * of that question uses it, and without it costs more. On a real server alone: an embedded one would take minutes.
 */
import type { Pool } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { shapeIndexes } from '../../src/sinks/postgres/indexes.ts';
import { migrate } from '../../src/sinks/postgres/migrate.ts';
import { openPool } from '../../src/sinks/postgres/pool.ts';
import { describePostgres } from '../support/postgres-services.ts';

const ROWS = 1_000_000;

/**
 * 200 tenants, 10 types, 100 days from 2026-01-01 on; one event in 1,000 is of a rare model, one reject in 1,000 a conflict.
 * Of the other rejects all but the last twentieth were redriven.
 * Of the first half of the events all but one in twenty are emptied.
 */
const FILL = [
  `INSERT INTO metering_events
   SELECT 'tenant-' || n % 200, 'key-' || n, 'type-' || n / 200 % 10, n % 1000, timestamptz '2026-01-01Z' + n * interval '8.64 s',
     CASE WHEN kept THEN 'user-' || n % 5000 END,
     CASE WHEN kept THEN jsonb_build_object('model', CASE WHEN n % 1000 = 7 THEN 'rare' ELSE 'm' || n % 5 END, 'request', n) ELSE '{}' END,
     'l' || n % 4, lpad(n::text, 20, '0'), 1767225600000 + n * 8640, decode(md5(n::text), 'hex')
   FROM (SELECT n::bigint, n > ${ROWS / 2} OR n % 20 = 0 AS kept FROM generate_series(1, ${ROWS}) AS n) AS s`,
  `INSERT INTO rejects
   SELECT 'l' || n % 4, lpad(n::text, 20, '0'), CASE WHEN n % 1000 = 7 THEN 'KEY_CONFLICT' ELSE 'UNKNOWN_TENANT' END, 'tenant_id', 'no',
     1767225600000 + n, 'k', 'tenant-' || n % 200, 'calls', '\\x00',
     CASE WHEN n % 1000 <> 7 AND n <= ${ROWS * 0.95} THEN timestamptz '2026-02-01Z' END
   FROM generate_series(1, ${ROWS}) AS n`,
  `CREATE TABLE usage_hourly_2026_01 PARTITION OF usage_hourly FOR VALUES FROM ('2026-01-01Z') TO ('2026-02-01Z')`,
  `CREATE TABLE usage_hourly_2026_02 PARTITION OF usage_hourly FOR VALUES FROM ('2026-02-01Z') TO ('2026-03-01Z')`,
  `INSERT INTO usage_hourly (tenant_id, event_type, hour, total_quantity, event_count)
   SELECT 'tenant-' || t, 'type-' || t % 7, timestamptz '2026-01-01Z' + h * interval '1 hour', h, 1
   FROM generate_series(1, 1000) AS t, generate_series(0, 1399) AS h WHERE (t + h) % 7 < 5`,
  `INSERT INTO usage_daily (tenant_id, event_type, day, total_quantity, event_count)
   SELECT 'tenant-' || t, 'type-' || t % 7, date '2023-01-01' + d, d, 1
   FROM generate_series(1, 1000) AS t, generate_series(0, 999) AS d`,
  'VACUUM metering_events',
  'ANALYZE',
];

interface Plan {
  readonly 'Node Type': string;
  readonly 'Index Name'?: string;
  readonly 'Total Cost': number;
  readonly Plans?: readonly Plan[];
}
interface Question {
  readonly title: string;
  /** The parent's name: partitions have indexes of names of their own, which begin so. */
  readonly index: string;
  /** Names of the index's parts in a plan. */
  readonly named: RegExp;
  readonly node: RegExp;
  readonly query: string;
  /** Drops the index: by itself, or with the constraint that it serves. */
  readonly drop: string;
}

const ONE_TENANT = `tenant_id = 'tenant-42' AND event_type = 'type-3'`;
const QUESTIONS: readonly Question[] = [
  {
    title: 'what a tenant used of a type in a range, out of the index alone',
    index: 'metering_events_usage',
    named: /^metering_events_\d_tenant_id_event_type_event_timestamp_quan_idx$/,
    node: /^Index Only Scan$/,
    query: `SELECT sum(quantity), count(*) FROM metering_events WHERE ${ONE_TENANT}
      AND event_timestamp >= '2026-02-03Z' AND event_timestamp < '2026-03-10Z'`,
    drop: 'DROP INDEX metering_events_usage',
  },
  {
    title: 'the newest events of all tenants, a page',
    index: 'metering_events_newest',
    named: /^metering_events_\d_event_timestamp_tenant_id_idempotency_ke/,
    node: /^Index Scan$/,
    query: `SELECT * FROM metering_events ORDER BY event_timestamp DESC, tenant_id DESC, idempotency_key DESC LIMIT 100`,
    drop: 'DROP INDEX metering_events_newest',
  },
  {
    title: 'events whose properties contain a value',
    index: 'metering_events_properties',
    named: /^metering_events_\d_properties_idx/,
    node: /^Bitmap Index Scan$/,
    query: `SELECT sum(quantity) FROM metering_events WHERE properties @> '{"model": "rare"}'`,
    drop: 'DROP INDEX metering_events_properties',
  },
  {
    title: 'rows that retention has not emptied yet',
    index: 'metering_events_payload',
    named: /^metering_events_\d_event_timestamp_idx/,
    node: /^Index Scan$/,
    query: `SELECT tenant_id, idempotency_key FROM metering_events WHERE event_timestamp < '2026-02-01Z'
      AND (subject IS NOT NULL OR properties <> '{}'::jsonb) ORDER BY event_timestamp LIMIT 500`,
    drop: 'DROP INDEX metering_events_payload',
  },
  {
    title: 'the newest rejects of a code that is rare',
    index: 'rejects_conflicts',
    named: /^rejects_conflicts$/,
    node: /^Index Scan$/,
    query: `SELECT * FROM rejects WHERE code = 'KEY_CONFLICT' ORDER BY arrival DESC, lineage DESC, position DESC, code DESC LIMIT 100`,
    drop: 'DROP INDEX rejects_conflicts',
  },
  {
    title: 'the newest rejects of any code',
    index: 'rejects_newest',
    named: /^rejects_newest$/,
    node: /^Index Scan$/,
    query: `SELECT * FROM rejects ORDER BY arrival DESC, lineage DESC, position DESC, code DESC LIMIT 100`,
    drop: 'DROP INDEX rejects_newest',
  },
  {
    title: 'the oldest rejects that were not redriven',
    index: 'rejects_waiting',
    named: /^rejects_waiting$/,
    node: /^Index Scan$/,
    query: `SELECT * FROM rejects WHERE redriven_at IS NULL AND code <> 'KEY_CONFLICT'
      AND (arrival, lineage, position, code) > (1767225600000, 'l0', '', '') ORDER BY arrival, lineage, position, code LIMIT 500`,
    drop: 'DROP INDEX rejects_waiting',
  },
  {
    title: 'the hours of a tenant and type on a day, in its month alone',
    index: 'usage_hourly_pkey',
    named: /^usage_hourly_2026_02_pkey$/,
    node: /^(Index Scan|Bitmap Index Scan)$/,
    query: `SELECT * FROM usage_hourly WHERE ${ONE_TENANT.replace('-3', '-0')} AND hour >= '2026-02-03Z' AND hour < '2026-02-04Z'`,
    drop: 'ALTER TABLE usage_hourly DROP CONSTRAINT usage_hourly_pkey',
  },
  {
    title: 'the days of a tenant and type in a month',
    index: 'usage_daily_pkey',
    named: /^usage_daily_pkey$/,
    node: /^(Index Scan|Bitmap Index Scan)$/,
    query: `SELECT * FROM usage_daily WHERE ${ONE_TENANT.replace('-3', '-0')} AND day >= '2024-02-01' AND day < '2024-03-01'`,
    drop: 'ALTER TABLE usage_daily DROP CONSTRAINT usage_daily_pkey',
  },
];

function* nodesOf(plan: Plan): Generator<Plan> {
  yield plan;
  for (const inner of plan.Plans ?? []) yield* nodesOf(inner);
}

/** A million rows: on a real server alone. */
describePostgres('indexes', (database) => {
  let pool: Pool;
  beforeAll(async () => {
    pool = openPool(await database.empty(), { max: 1 });
    await migrate(pool);
    await shapeIndexes(pool, { propertiesIndex: 'on', eventRowRetentionMs: 1 });
    await pool.query('SET statement_timeout = 0');
    for (const text of FILL) await pool.query(text);
  }, 300_000);
  afterAll(() => pool.end());

  const plan = async (query: string): Promise<Plan> => {
    const { rows } = await pool.query<{ 'QUERY PLAN': readonly { readonly Plan: Plan }[] }>(
      `EXPLAIN (FORMAT JSON) ${query}`,
    );
    return rows[0]!['QUERY PLAN'][0]!.Plan;
  };

  test('every table of a question has a million rows', async () => {
    for (const table of ['metering_events', 'rejects', 'usage_hourly', 'usage_daily']) {
      const { rows } = await pool.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${table}`);
      expect(rows[0]?.n, table).toBeGreaterThanOrEqual(ROWS);
    }
  });

  test('the planner is as the server has it', async () => {
    const { rows } = await pool.query(
      `SELECT name FROM pg_settings WHERE category LIKE 'Query Tuning%' AND setting <> boot_val`,
    );
    expect(rows).toEqual([]);
  });

  test.each(QUESTIONS)('$index: $title', async ({ named, node, query, drop }) => {
    const chosen = await plan(query);
    const scans = [...nodesOf(chosen)].filter((inner) => inner['Index Name'] !== undefined);
    expect(scans.length, JSON.stringify(chosen)).toBeGreaterThan(0);
    for (const scan of scans) {
      expect(scan['Index Name']).toMatch(named);
      expect(scan['Node Type']).toMatch(node);
    }
    await pool.query('BEGIN');
    await pool.query(drop);
    const without = await plan(query);
    await pool.query('ROLLBACK');
    expect(without['Total Cost']).toBeGreaterThan(chosen['Total Cost']);
  });
});
