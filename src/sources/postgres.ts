/** PostgreSQL as a log: N partitions by routing key, positions dense and visible in order. */
import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import type { Clock } from '../clock.ts';
import type { Control, Lineage, Outgoing, Position, Producer, Reader, Source, Written } from '../contract.ts';
import { partitionOf } from '../domain/routing.ts';
import { MeterError } from '../errors.ts';
import { run } from '../sinks/postgres/pool.ts';
import { Appender, encodeControl } from './postgres-append.ts';
import { LogReader, type LogShared, offsetOf, positionOf } from './postgres-reader.ts';

export interface PostgresLogOptions {
  readonly pool: Pool;
  readonly partitions: number;
  readonly clock: Clock;
  /** How often other processes' appends are looked for, ms. */
  readonly pollMs?: number;
}

/** Records deleted in one statement: short enough that appends do not notice. */
const TRIM = 5000;

export interface PostgresLog extends Source, Producer {
  /** Waits for appends under way. Nothing may be appended any more. */
  close(): Promise<void>;
}

/** Creates the log on the first start. Throws INSTALLATION_DIFFERS for another number of partitions. */
export async function openPostgresLog({ pool, partitions, clock, pollMs = 50 }: PostgresLogOptions): Promise<PostgresLog> {
  const stream = await openStream(pool, partitions);
  const ids = Array.from({ length: partitions }, (_, n) => `pg.${stream}.${String(n)}`);
  await run(
    pool,
    'create the partitions of the log',
    `INSERT INTO log_partitions (lineage, partition) SELECT * FROM unnest($1::text[], $2::int[]) ON CONFLICT DO NOTHING`,
    [ids, ids.map((_, n) => n)],
  );
  const shared: LogShared = { pool, clock, pollMs, waiting: new Map() };
  const wake = (lineage: string): void => shared.waiting.get(lineage)?.poke();
  const appenders = ids.map((id) => new Appender(pool, id, wake));
  const lineages = ids.map((id, n): Lineage => ({
    id,
    parents: [],
    depth: 0,
    origin: positionOf(0),
    owns: (routingKey) => partitionOf(routingKey, partitions) === n,
  }));
  return {
    name: 'postgres log',
    lineages: () => Promise.resolve(lineages),
    open: (lineage: string, from: Position): Reader => new LogReader(shared, lineage, from),
    after: (position) => positionOf(offsetOf(position) + 1),
    bounds: (lineage) => bounds(pool, lineage),
    trim: (lineage, before) => trim(pool, lineage, offsetOf(before)),
    append: (records) => append(records, appenders),
    control: (control) => writeControl(control, appenders),
    close: async () => void (await Promise.all(appenders.map((appender) => appender.idle()))),
  };
}

async function openStream(pool: Pool, partitions: number): Promise<string> {
  await run(pool, 'create the log', `INSERT INTO log_streams (id, partitions) VALUES ($1, $2) ON CONFLICT DO NOTHING`, [
    randomUUID(),
    partitions,
  ]);
  const [stream] = await run<{ id: string; partitions: number }>(
    pool,
    'open the log',
    `SELECT id, partitions FROM log_streams`,
  );
  if (stream?.partitions === partitions) return stream.id;
  throw new MeterError('INSTALLATION_DIFFERS', `open the log: it has ${String(stream?.partitions)} partitions`, {
    field: 'partitions',
    value: String(partitions),
    allowed: String(stream?.partitions),
  });
}

async function bounds(pool: Pool, lineage: string): Promise<{ first: Position; end: Position }> {
  const text = `SELECT first_position AS first, next_position AS next FROM log_partitions WHERE lineage = $1`;
  const [row] = await run<{ first: number; next: number }>(pool, `look at ${lineage}`, text, [lineage]);
  if (row === undefined) throw new MeterError('LOG_REPLACED', `look at ${lineage}: the log has no such partition`);
  return { first: positionOf(row.first), end: positionOf(row.next) };
}

/** The first position moves first: a reader behind it stops loudly instead of finding a gap. */
async function trim(pool: Pool, lineage: string, before: number): Promise<number> {
  const move = `UPDATE log_partitions SET first_position = $2 WHERE lineage = $1 AND first_position < $2`;
  await run(pool, `trim ${lineage}`, move, [lineage, before]);
  const remove = `DELETE FROM log_records WHERE lineage = $1 AND position IN
    (SELECT position FROM log_records WHERE lineage = $1 AND position < $2 ORDER BY position LIMIT $3) RETURNING 1 AS one`;
  for (let removed = 0; ;) {
    const gone = await run(pool, `trim ${lineage}`, remove, [lineage, before, TRIM]);
    removed += gone.length;
    if (gone.length < TRIM) return removed;
  }
}

/** Each record goes to its home partition; outcomes come back in the order of the records. */
async function append(records: readonly Outgoing[], appenders: readonly Appender[]): Promise<(Written | Error)[]> {
  const homes = new Map<number, number[]>();
  records.forEach(({ routingKey }, n) => {
    const home = partitionOf(routingKey, appenders.length);
    const there = homes.get(home);
    if (there === undefined) homes.set(home, [n]);
    else there.push(n);
  });
  const outcomes: (Written | Error)[] = Array.from({ length: records.length });
  const share = async ([home, numbers]: [number, number[]]): Promise<void> => {
    const rows = numbers
      .flatMap((n) => records[n] ?? [])
      .map(({ routingKey, value }) => ({ kind: 0, key: routingKey, value }));
    const written = await appenders[home]?.append(rows);
    numbers.forEach((n, at) => {
      outcomes[n] = written?.[at] ?? new Error('no such partition');
    });
  };
  await Promise.all([...homes].map(share));
  return outcomes;
}

async function writeControl(control: Control, appenders: readonly Appender[]): Promise<void> {
  const row = { kind: 1, key: null, value: encodeControl(control) };
  const written = await Promise.all(appenders.map((appender) => appender.append([row])));
  for (const [outcome] of written) if (outcome instanceof Error) throw outcome;
}
