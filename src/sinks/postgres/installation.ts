/** What is fixed at the first start: recorded once, compared at every later one. */
import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import type { Kept } from '../../domain/kept.ts';
import { MeterError } from '../../errors.ts';
import { run } from './pool.ts';

export interface Fixed extends Kept {
  readonly buckets: number;
  readonly partitions: number;
  readonly epochMs: number;
  /** Canonical text of the meter set. */
  readonly meters: string;
  /** Canonical text of the tenants. */
  readonly tenants: string;
}
/** Says in sentences what differs between what is recorded and what is asked for. */
export type Explain = (recorded: string, now: string) => readonly string[];

interface Row {
  readonly buckets: number;
  readonly partitions: number;
  readonly epoch_ms: number;
  readonly key_retention_ms: number;
  readonly usage_retention_months: number;
  readonly meters: string;
  readonly tenants: string;
  readonly [column: string]: unknown;
}

const RECORD = `
  INSERT INTO installation (incarnation, buckets, partitions, epoch_ms, meters, tenants, key_retention_ms, usage_retention_months)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`;

/** Throws INSTALLATION_DIFFERS, whose message names every difference. */
export async function recordInstallation(pool: Pool, now: Fixed, explainMeters: Explain): Promise<void> {
  const values = [randomUUID(), now.buckets, now.partitions, now.epochMs, now.meters, now.tenants];
  values.push(now.keyRetentionMs, now.usageRetentionMonths);
  await run(pool, 'record the installation', RECORD, values);
  const [row] = await run<Row>(pool, 'read the installation', 'SELECT * FROM installation');
  if (row === undefined) throw new MeterError('DATABASE_UNAVAILABLE', 'read the installation: it is gone');
  const differs = [
    ...number('buckets', row.buckets, now.buckets),
    ...number('partitions', row.partitions, now.partitions),
    ...number('epochMs', row.epoch_ms, now.epochMs),
    ...number('keyRetentionMs', row.key_retention_ms, now.keyRetentionMs),
    ...number('usageRetentionMonths', row.usage_retention_months, now.usageRetentionMonths),
    ...explainMeters(row.meters, now.meters),
    ...(row.tenants === now.tenants ? [] : [`tenants were ${row.tenants}, are ${now.tenants}`]),
  ];
  if (differs.length === 0) return;
  throw new MeterError('INSTALLATION_DIFFERS', `start: ${differs.join('; ')}`, {
    allowed: 'what was recorded at the first start, or another data directory',
  });
}

const number = (name: string, recorded: number, now: number): string[] =>
  recorded === now ? [] : [`${name} was ${recorded}, is ${now}`];
