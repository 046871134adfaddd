/** Monthly partitions of usage_hourly: made ahead of the transaction that needs them, dropped by retention. */
import type { Pool } from 'pg';
import type { HourUsage } from '../../contract.ts';
import { monthOf, startOfMonth } from '../../domain/kept.ts';
import { MeterError } from '../../errors.ts';
import { type Queryable, run } from './pool.ts';

/** As migration 0012 says: every publish updates the newest hours, none the others. */
export const MONTH_STORAGE = 'WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02)';

const MS_PER_HOUR = 3_600_000;

/** Months that this process has seen, by database: asking again would cost a statement a publish. */
const seen = new WeakMap<Queryable, Set<number>>();

/** YYYY-MM-DD of its first day. DDL takes no parameters: this and the name are texts of our own making, from a number. */
const dayOf = (month: number): string => new Date(startOfMonth(month)).toISOString().slice(0, 10);
const tableOf = (month: number): string => `usage_hourly_${dayOf(month).slice(0, 7).replace('-', '_')}`;

/** Idempotent, also when several publishers meet. */
export async function prepareMonths(on: Queryable, hours: readonly Pick<HourUsage, 'hour'>[]): Promise<void> {
  const known = seen.get(on) ?? new Set<number>();
  seen.set(on, known);
  for (const month of new Set(hours.map(({ hour }) => monthOf(hour * MS_PER_HOUR)))) {
    if (known.has(month)) continue;
    await makeMonth(on, month);
    known.add(month);
  }
}

async function makeMonth(on: Queryable, month: number): Promise<void> {
  const table = tableOf(month);
  const bounds = `FROM ('${dayOf(month)}T00:00:00Z') TO ('${dayOf(month + 1)}T00:00:00Z')`;
  try {
    const text = `CREATE TABLE IF NOT EXISTS ${table} PARTITION OF usage_hourly FOR VALUES ${bounds} ${MONTH_STORAGE}`;
    await run(on, `make ${table}`, text);
  } catch (error) {
    // Two publishers at once: IF NOT EXISTS looks before it locks. The other one's table is as good.
    if (!(error instanceof Error && 'code' in error && ['42P07', '23505', '42P17'].includes(String(error.code))))
      throw error;
    const [there] = await run<{ there: boolean }>(on, `look for ${table}`, 'SELECT to_regclass($1) IS NOT NULL AS there', [
      table,
    ]);
    if (there?.there !== true) throw new MeterError('DATABASE_UNAVAILABLE', `make ${table}: refused`, { cause: error });
  }
}

/** Tables of months, attached or left detached by a step that died. */
const FOUND = `
  SELECT c.relname AS name, i.inhrelid IS NOT NULL AS attached, coalesce(i.inhdetachpending, false) AS pending
  FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = 'usage_hourly'::regclass
  WHERE c.relkind = 'r' AND c.relname ~ '^usage_hourly_[0-9]{4}_[0-9]{2}$' AND pg_table_is_visible(c.oid)
  ORDER BY 1`;
interface Found {
  readonly name: string;
  readonly attached: boolean;
  readonly pending: boolean;
  readonly [column: string]: unknown;
}

/** Months since 1970. */
export async function oldestMonth(pool: Pool): Promise<number | undefined> {
  const [first] = await run<Found>(pool, 'list the months of usage', FOUND);
  if (first === undefined) return undefined;
  const [, , year, number] = first.name.split('_');
  return (Number(year) - 1970) * 12 + Number(number) - 1;
}

/**
 * Detached first: a drop alone would lock the whole table against readers and writers. CONCURRENTLY waits for those that
 * are under way, in two transactions; where one died in between, it is finalised.
 */
export async function dropMonth(pool: Pool, month: number, { embedded }: { readonly embedded: boolean }): Promise<void> {
  const table = tableOf(month);
  const found = (await run<Found>(pool, `look for ${table}`, FOUND)).find(({ name }) => name === table);
  if (found?.attached === true) {
    const how = found.pending ? 'FINALIZE' : embedded ? '' : 'CONCURRENTLY';
    await run(pool, `detach ${table}`, `ALTER TABLE usage_hourly DETACH PARTITION ${table} ${how}`);
  }
  await run(pool, `drop ${table}`, `DROP TABLE IF EXISTS ${table}`);
  seen.get(pool)?.delete(month);
}
