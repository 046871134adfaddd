import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Pool } from 'pg';
import { migrate } from '../sinks/postgres/migrate.ts';
import { openPool } from '../sinks/postgres/pool.ts';
import { maintain } from './maintenance.ts';
import { type EmbeddedDatabase, openEmbedded } from './pglite.ts';

let database: EmbeddedDatabase;
let pool: Pool;

beforeAll(async () => {
  database = await openEmbedded({});
  pool = openPool(database.connection, { max: 1 });
  await migrate(pool);
});

afterAll(async () => {
  await pool.end();
  await database.close();
});

/** Rollups of 500 tenants in so many minutes. */
const fill = (from: number, minutes: number): Promise<unknown> =>
  pool.query(`INSERT INTO rollups (tenant_id, meter, minute, grp)
    SELECT 't' || t, 'm@1', m, '[]' FROM generate_series(1, 500) t, generate_series(${from}, ${from + minutes - 1}) m`);

async function planOfOneTenant(): Promise<string> {
  const text = `EXPLAIN SELECT * FROM rollups WHERE tenant_id = 't7' AND meter = 'm@1' AND minute >= 0 AND minute < 100`;
  return (await pool.query<{ 'QUERY PLAN': string }>(text)).rows.map((row) => row['QUERY PLAN']).join('\n');
}

const rowsKnown = async (): Promise<number> =>
  (await pool.query<{ n: number }>(`SELECT reltuples::int AS n FROM pg_class WHERE oid = 'rollups'::regclass`)).rows[0]?.n ??
  0;

test('statistics are made once there are rollups, so that those of one tenant are found by it', async () => {
  await fill(0, 20);
  const { step } = maintain(pool);
  await step();
  expect(await rowsKnown()).toBe(10_000);
  expect(await planOfOneTenant()).toContain('rollups_pkey');
});

test('they are made anew when the table has doubled, and not before', async () => {
  const { step } = maintain(pool);
  await fill(20, 5);
  await step();
  expect(await rowsKnown()).toBe(10_000);
  await fill(25, 40);
  await step();
  expect(await rowsKnown()).toBe(32_500);
});
