/** Appends to one partition, one statement at a time; what comes meanwhile goes together in the next one (group commit). */
import type { Pool } from 'pg';
import { asError, MeterError } from '../errors.ts';
import { asFailure } from '../sinks/postgres/pool.ts';
import type { Outcome } from './homes.ts';
import { positionOf } from './positions.ts';

export interface Row {
  /** 0: an event, 1: a control record. */
  readonly kind: 0 | 1;
  readonly key: string | null;
  readonly value: Uint8Array;
}
interface Waiting {
  readonly row: Row;
  readonly settle: (outcome: Outcome) => void;
}

/** One statement carries at most so much, but always one record. */
const MOST_ROWS = 5000;
const MOST_BYTES = 4 * 1024 * 1024;

/**
 * The row lock of the UPDATE is held until the statement commits: the next writer's positions follow on, and become visible
 * after these. The broker's clock is the database's, read under the lock, and never goes back. All values go as one: an
 * array of bytea travels as text in hexadecimal and took 1.5 times as long (1,000 values of 200 bytes, embedded).
 */
const APPEND = `
  WITH place AS (
    UPDATE log_partitions
    SET next_position = next_position + $2,
        last_arrival = greatest(last_arrival, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
    WHERE lineage = $1 AND NOT ended
    RETURNING next_position - $2 AS base, last_arrival
  ), written AS (
    INSERT INTO log_records (lineage, position, arrival, kind, key, value)
    SELECT $1, place.base + r.n - 1, place.last_arrival, r.kind, r.key, substring($5::bytea, r.start, r.bytes)
    FROM place, unnest($3::smallint[], $4::text[], $6::int[], $7::int[]) WITH ORDINALITY AS r (kind, key, start, bytes, n)
  )
  SELECT (SELECT base FROM place) AS base, (SELECT ended FROM log_partitions WHERE lineage = $1) AS ended`;

interface Answer {
  readonly base: number | null;
  /** Null where there is no such partition. */
  readonly ended: boolean | null;
  readonly [column: string]: unknown;
}

/** Where each value starts in their concatenation, from 1 as SQL counts. */
function startsOf(rows: readonly Row[]): number[] {
  let start = 1;
  return rows.map(({ value }) => (start += value.length) - value.length);
}

export class PartitionWriter {
  readonly #pool: Pool;
  readonly #lineage: string;
  readonly #moved: (lineage: string, end: number) => void;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  #closed = false;

  /** `moved` is told of each acknowledged append. */
  constructor(pool: Pool, lineage: string, moved: (lineage: string, end: number) => void) {
    this.#pool = pool;
    this.#lineage = lineage;
    this.#moved = moved;
  }

  /** Whether an append found the partition closed. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** One outcome a row, in order. Never rejects. */
  append(rows: readonly Row[]): Promise<Outcome[]> {
    const outcomes = rows.map((row) => new Promise<Outcome>((settle) => this.#waiting.push({ row, settle })));
    this.#running ??= this.#run();
    return Promise.all(outcomes);
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) await this.#write(this.#take());
    this.#running = undefined;
  }

  #take(): Waiting[] {
    let [count, bytes] = [0, 0];
    for (const { row } of this.#waiting) {
      bytes += row.value.length;
      if (count > 0 && (count >= MOST_ROWS || bytes > MOST_BYTES)) break;
      count += 1;
    }
    const taken = this.#waiting.slice(0, count);
    this.#waiting = this.#waiting.slice(count);
    return taken;
  }

  async #write(group: readonly Waiting[]): Promise<void> {
    let base: number;
    try {
      base = await this.#insert(group.map(({ row }) => row));
    } catch (error) {
      // It may be in the log all the same: the answer was lost, not necessarily the statement.
      const failure = asError(asFailure(error, `append to ${this.#lineage}`, 'LOG_UNAVAILABLE'));
      for (const { settle } of group) settle(failure);
      return;
    }
    this.#moved(this.#lineage, base + group.length);
    group.forEach(({ settle }, n) => settle({ lineage: this.#lineage, position: positionOf(base + n) }));
  }

  async #insert(rows: readonly Row[]): Promise<number> {
    const values = [
      this.#lineage,
      rows.length,
      rows.map(({ kind }) => kind),
      rows.map(({ key }) => key),
      Buffer.concat(rows.map(({ value }) => value)),
      startsOf(rows),
      rows.map(({ value }) => value.length),
    ];
    const answer = (await this.#pool.query<Answer>(APPEND, values)).rows[0];
    if (typeof answer?.base === 'number') return answer.base;
    this.#closed = answer?.ended === true;
    const fact = this.#closed ? 'it is closed' : 'there is no such partition';
    throw new MeterError('LOG_REPLACED', `append to ${this.#lineage}: ${fact}`);
  }
}
