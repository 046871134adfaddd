/** Monthly partitions of usage_hourly, made ahead of the transaction that needs them. */
import type { Pool } from 'pg';
import type { HourUsage } from '../../contract.ts';
import { MeterError } from '../../errors.ts';
import { run } from './pool.ts';

const MS_PER_HOUR = 3_600_000;

/** Months that this process has seen, by pool: asking again would cost a statement a publish. */
const seen = new WeakMap<Pool, Set<string>>();

const monthOf = (hour: number): string => new Date(hour * MS_PER_HOUR).toISOString().slice(0, 7);

function nextMonth(month: string): string {
  const [year = 0, number = 1] = month.split('-').map(Number);
  return new Date(Date.UTC(year, number, 1)).toISOString().slice(0, 10);
}

/** Idempotent, also when several publishers meet. */
export async function prepareMonths(pool: Pool, hours: readonly HourUsage[]): Promise<void> {
  const known = seen.get(pool) ?? new Set<string>();
  seen.set(pool, known);
  for (const month of new Set(hours.map(({ hour }) => monthOf(hour)))) {
    if (known.has(month)) continue;
    await makeMonth(pool, month);
    known.add(month);
  }
}

/** DDL takes no parameters: the month is checked to be digits before it becomes part of the text. */
async function makeMonth(pool: Pool, month: string): Promise<void> {
  if (!/^\d{4}-\d\d$/.test(month)) throw new RangeError(`${month} is no month`);
  const table = `usage_hourly_${month.replace('-', '_')}`;
  const bounds = `FROM ('${month}-01T00:00:00Z') TO ('${nextMonth(month)}T00:00:00Z')`;
  try {
    await run(pool, `make ${table}`, `CREATE TABLE IF NOT EXISTS ${table} PARTITION OF usage_hourly FOR VALUES ${bounds}`);
  } catch (error) {
    // Two publishers at once: IF NOT EXISTS looks before it locks. The other one's table is as good.
    if (!(error instanceof Error && 'code' in error && ['42P07', '23505', '42P17'].includes(String(error.code))))
      throw error;
    const [there] = await run<{ there: boolean }>(pool, `look for ${table}`, 'SELECT to_regclass($1) IS NOT NULL AS there', [
      table,
    ]);
    if (there?.there !== true) throw new MeterError('DATABASE_UNAVAILABLE', `make ${table}: refused`, { cause: error });
  }
}
