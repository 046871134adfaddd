/** Appends to one partition, one statement at a time; what comes meanwhile goes together in the next one (group commit). */
import type { Pool } from 'pg';
import type { Control, Written } from '../contract.ts';
import { asError, MeterError } from '../errors.ts';
import { asFailure } from '../sinks/postgres/pool.ts';
import { positionOf } from './postgres-reader.ts';

export interface Row {
  /** 0: an event, 1: a control record. */
  readonly kind: number;
  readonly key: string | null;
  readonly value: Uint8Array;
}

interface Waiting {
  readonly rows: readonly Row[];
  readonly settle: (outcomes: (Written | Error)[]) => void;
}

/** One statement carries at most this much, unless a single append is larger. */
const MOST_ROWS = 5000;
const MOST_BYTES = 4 * 1024 * 1024;

export const encodeControl = (control: Control): Uint8Array => Buffer.from(JSON.stringify(control));

/**
 * The row lock of the UPDATE is held until the statement commits: the next writer's positions follow on, and become visible
 * after these. The broker's clock is the database's, and never goes back.
 */
const APPEND = `
  WITH place AS (
    UPDATE log_partitions
    SET next_position = next_position + $2,
        last_arrival = greatest(last_arrival, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
    WHERE lineage = $1
    RETURNING next_position - $2 AS base, last_arrival
  ), written AS (
    INSERT INTO log_records (lineage, position, arrival, kind, key, value)
    SELECT $1, place.base + r.n - 1, place.last_arrival, r.kind, r.key, r.value
    FROM place, unnest($3::smallint[], $4::text[], $5::bytea[]) WITH ORDINALITY AS r (kind, key, value, n)
  )
  SELECT base FROM place`;

export class Appender {
  readonly #pool: Pool;
  readonly #lineage: string;
  readonly #wake: (lineage: string) => void;
  readonly #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;

  constructor(pool: Pool, lineage: string, wake: (lineage: string) => void) {
    this.#pool = pool;
    this.#lineage = lineage;
    this.#wake = wake;
  }

  /** Never rejects: a failure is every record's outcome. */
  append(rows: readonly Row[]): Promise<(Written | Error)[]> {
    return new Promise((settle) => {
      this.#waiting.push({ rows, settle });
      this.#running ??= this.#run();
    });
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
    let [rows, bytes, taken] = [0, 0, 0];
    for (const { rows: more } of this.#waiting) {
      rows += more.length;
      bytes += more.reduce((sum, { value }) => sum + value.length, 0);
      if (taken > 0 && (rows > MOST_ROWS || bytes > MOST_BYTES)) break;
      taken += 1;
    }
    return this.#waiting.splice(0, taken);
  }

  async #write(group: readonly Waiting[]): Promise<void> {
    const rows = group.flatMap((waiting) => waiting.rows);
    try {
      const { rows: answer } = await this.#pool.query<{ base: number }>(APPEND, [
        this.#lineage,
        rows.length,
        rows.map((row) => row.kind),
        rows.map((row) => row.key),
        rows.map((row) => row.value),
      ]);
      const base = answer[0]?.base;
      if (base === undefined)
        throw new MeterError('LOG_REPLACED', `append to ${this.#lineage}: the log has no such partition`);
      this.#acknowledge(group, base);
    } catch (error) {
      const failure = asError(asFailure(error, `append to ${this.#lineage}`, 'LOG_UNAVAILABLE'));
      for (const { rows: own, settle } of group) settle(own.map(() => failure));
    }
  }

  #acknowledge(group: readonly Waiting[], base: number): void {
    let offset = base;
    for (const { rows, settle } of group) {
      settle(rows.map((_, n) => ({ lineage: this.#lineage, position: positionOf(offset + n) })));
      offset += rows.length;
    }
    this.#wake(this.#lineage);
  }
}
