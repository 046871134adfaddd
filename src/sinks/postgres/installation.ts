/** What is fixed at the first start: recorded once, compared at every later one. */
import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import type { Kept } from '../../domain/kept.ts';
import { MeterError } from '../../errors.ts';
import { type Queryable, run } from './pool.ts';

export interface Fixed extends Kept {
  readonly buckets: number;
  readonly partitions: number;
  readonly epochMs: number;
}
interface Row {
  readonly buckets: number;
  readonly partitions: number;
  readonly epoch_ms: number;
  readonly key_retention_ms: number;
  readonly usage_retention_months: number;
  readonly [column: string]: unknown;
}

/** Meters and tenants have versions of their own by now: the table `rule_sets`. */
const RECORD = `
  INSERT INTO installation (incarnation, buckets, partitions, epoch_ms, meters, tenants, key_retention_ms, usage_retention_months)
  VALUES ($1, $2, $3, $4, '', '', $5, $6) ON CONFLICT DO NOTHING`;

/** Throws INSTALLATION_DIFFERS, whose message names every difference. */
export async function recordInstallation(pool: Pool, now: Fixed): Promise<void> {
  const values = [randomUUID(), now.buckets, now.partitions, now.epochMs, now.keyRetentionMs, now.usageRetentionMonths];
  await run(pool, 'record the installation', RECORD, values);
  const row = await recorded(pool);
  if (row === undefined) throw new MeterError('DATABASE_UNAVAILABLE', 'read the installation: it is gone');
  demandSame(row, now);
}

/** As above, and records nothing. Answers whether there was a first start. */
export async function compareInstallation(on: Queryable, now: Fixed): Promise<boolean> {
  const row = await recorded(on);
  if (row !== undefined) demandSame(row, now);
  return row !== undefined;
}

const recorded = async (on: Queryable): Promise<Row | undefined> =>
  (await run<Row>(on, 'read the installation', 'SELECT * FROM installation'))[0];

function demandSame(row: Row, now: Fixed): void {
  const differs = [
    ...number('buckets', row.buckets, now.buckets),
    ...number('partitions', row.partitions, now.partitions),
    ...number('epochMs', row.epoch_ms, now.epochMs),
    ...number('keyRetentionMs', row.key_retention_ms, now.keyRetentionMs),
    ...number('usageRetentionMonths', row.usage_retention_months, now.usageRetentionMonths),
  ];
  if (differs.length === 0) return;
  throw new MeterError('INSTALLATION_DIFFERS', `start: ${differs.join('; ')}`, {
    allowed: 'what was recorded at the first start, or another data directory',
  });
}

const number = (name: string, recorded: number, now: number): string[] =>
  recorded === now ? [] : [`${name} was ${recorded}, is ${now}`];
