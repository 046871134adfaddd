/** PostgreSQL as a log: N partitions by routing key, positions dense and visible in order. */
import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import type { Clock } from '../clock.ts';
import {
  type Control,
  END,
  type Lineage,
  type Outgoing,
  type Position,
  type Producer,
  type Source,
  type Standing,
} from '../contract.ts';
import { partitionOf } from '../domain/routing.ts';
import { MeterError } from '../errors.ts';
import { asFailure } from '../sinks/postgres/pool.ts';
import { appendHome, type Outcome } from './homes.ts';
import { encodeControl, isEnd, offsetOf, placesBetween, positionOf } from './positions.ts';
import { PartitionWriter } from './postgres-producer.ts';
import { LogReader } from './postgres-reader.ts';
import { Standings } from './postgres-standings.ts';
import { Tail } from './postgres-tail.ts';

export interface PostgresLogOptions {
  readonly pool: Pool;
  readonly partitions: number;
  readonly clock: Clock;
  /** How often other processes' appends are looked for, ms. */
  readonly pollMs?: number;
}

export interface PostgresLog extends Source, Producer {
  /** Of the partitions that this process reads. */
  standings(): readonly Standing[];
  /** Waits for appends under way. Nothing may be appended any more. */
  close(): Promise<void>;
}

/**
 * Creates the log on the first start; the tables are there. Throws INSTALLATION_DIFFERS for another number of partitions,
 * LOG_UNAVAILABLE.
 */
export async function openPostgresLog({ pool, partitions, clock, pollMs = 50 }: PostgresLogOptions): Promise<PostgresLog> {
  const stream = await openStream(pool, partitions);
  const ids = Array.from({ length: partitions }, (_, n) => `pg.${stream}.${n}`);
  const create = `INSERT INTO log_partitions (lineage, partition) SELECT * FROM unnest($1::text[], $2::int[])
    ON CONFLICT DO NOTHING`;
  await statement(pool, 'create the partitions of the log', create, [ids, ids.map((_, n) => n)]);
  const tail = new Tail({ pool, clock, pollMs });
  const standings = new Standings(tail);
  const writers = ids.map((id) => new PartitionWriter(pool, id, (lineage, end) => tail.moved(lineage, end)));
  const lineages = ids.map((id, n): Lineage => {
    const owns = (routingKey: string): boolean => partitionOf(routingKey, partitions) === n;
    return { id, parents: [], depth: 0, origin: positionOf(0), owns };
  });
  return {
    name: 'postgres log',
    lineages: () => Promise.resolve(lineages),
    open: (lineage, from) => new LogReader({ pool, tail, standings }, lineage, from),
    standings: () => standings.all(),
    after: (position) => positionOf(offsetOf(position) + 1),
    places: placesBetween,
    bounds: (lineage) => bounds(pool, lineage),
    trim: (lineage, before) => trim(pool, lineage, before),
    append: (records) => append(records, writers),
    control: (control) => writeControl(control, writers),
    close: async () => void (await Promise.all(writers.map((writer) => writer.idle()))),
  };
}

async function statement<R extends object>(pool: Pool, what: string, text: string, values: unknown[] = []): Promise<R[]> {
  try {
    return (await pool.query<R & { [column: string]: unknown }>(text, values)).rows;
  } catch (error) {
    throw asFailure(error, what, 'LOG_UNAVAILABLE');
  }
}

/** Answers the log's id: of those who start at once, one creates it. */
async function openStream(pool: Pool, partitions: number): Promise<string> {
  const create = 'INSERT INTO log_streams (id, partitions) VALUES ($1, $2) ON CONFLICT DO NOTHING';
  await statement(pool, 'create the log', create, [randomUUID(), partitions]);
  const read = 'SELECT id, partitions FROM log_streams';
  const [stream] = await statement<{ id: string; partitions: number }>(pool, 'open the log', read);
  if (stream?.partitions === partitions) return stream.id;
  throw new MeterError('INSTALLATION_DIFFERS', `open the log: it has ${String(stream?.partitions)} partitions`, {
    field: 'partitions',
    value: String(partitions),
    allowed: String(stream?.partitions),
  });
}

async function bounds(pool: Pool, lineage: string): Promise<{ first: Position; end: Position }> {
  const text = 'SELECT first_position AS first, next_position AS "end", ended FROM log_partitions WHERE lineage = $1';
  const [row] = await statement<{ first: number; end: number; ended: boolean }>(pool, `look at ${lineage}`, text, [lineage]);
  if (row === undefined) throw new MeterError('LOG_REPLACED', `look at ${lineage}: there is no such partition`);
  return { first: positionOf(row.first), end: row.ended ? END : positionOf(row.end) };
}

/** Records deleted in one statement: short enough that appends do not notice. */
const TRIM = 5000;

/** Never past the end. The first position moves before the records go: a reader behind it stops loudly, not at a gap. */
const MOVE = `UPDATE log_partitions SET first_position = greatest(first_position, least($2, next_position))
  WHERE lineage = $1 RETURNING first_position AS first`;
const REMOVE = `DELETE FROM log_records WHERE lineage = $1 AND position < $2
  AND position < (SELECT min(position) FROM log_records WHERE lineage = $1) + $3`;

async function trim(pool: Pool, lineage: string, before: Position): Promise<number> {
  const to = isEnd(before) ? Number.MAX_SAFE_INTEGER : offsetOf(before);
  const [row] = await statement<{ first: number }>(pool, `trim ${lineage}`, MOVE, [lineage, to]);
  if (row === undefined) throw new MeterError('LOG_REPLACED', `trim ${lineage}: there is no such partition`);
  for (let removed = 0; ;) {
    const gone = await remove(pool, lineage, row.first);
    if (gone === 0) return removed;
    removed += gone;
  }
}

async function remove(pool: Pool, lineage: string, first: number): Promise<number> {
  try {
    return (await pool.query(REMOVE, [lineage, first, TRIM])).rowCount ?? 0;
  } catch (error) {
    throw asFailure(error, `trim ${lineage}`, 'LOG_UNAVAILABLE');
  }
}

const append = (records: readonly Outgoing[], writers: readonly PartitionWriter[]): Promise<Outcome[]> =>
  appendHome(records, writers, (writer, share) =>
    writer.append(share.map(({ routingKey, value }) => ({ kind: 0, key: routingKey, value }) as const)),
  );

/** Into every open partition; throws what the first of them answered that is open and failed. */
async function writeControl(control: Control, writers: readonly PartitionWriter[]): Promise<void> {
  const row = { kind: 1, key: null, value: encodeControl(control) } as const;
  const failed = await Promise.all(
    writers.map(async (writer) => {
      const [outcome] = writer.isClosed ? [] : await writer.append([row]);
      return outcome instanceof Error && !writer.isClosed ? outcome : undefined;
    }),
  );
  const failure = failed.find((outcome) => outcome !== undefined);
  if (failure !== undefined) throw failure;
}
