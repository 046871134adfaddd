/** Reads one partition of the PostgreSQL log. */
import type { Pool } from 'pg';
import type { Clock } from '../clock.ts';
import type { Batch, Control, LogRecord, Position, Reader } from '../contract.ts';
import { MeterError } from '../errors.ts';
import { asFailure, run } from '../sinks/postgres/pool.ts';

/** Positions are offsets of 20 digits: string order is numeric order. */
const DIGITS = 20;
export const positionOf = (offset: number): Position => String(offset).padStart(DIGITS, '0');

export function offsetOf(position: Position): number {
  const offset = /^\d{20}$/.test(position) ? Number(position) : Number.NaN;
  if (!Number.isSafeInteger(offset)) throw new MeterError('LOG_REPLACED', `read the log: ${position} is no position of it`);
  return offset;
}

/** Somebody waits for the next append of a partition. */
export interface Poked {
  poke(): void;
}

export interface LogShared {
  readonly pool: Pool;
  readonly clock: Clock;
  readonly pollMs: number;
  /** Readers of this process that are woken by its own appends. */
  readonly waiting: Map<string, Poked>;
}

/** Records in one batch. */
const PAGE = 2000;
/** Longest wait between two looks of a reader that found nothing, as a multiple of the poll. */
const PATIENCE = 8;

interface Row {
  readonly position: number;
  readonly arrival: number;
  readonly kind: number;
  readonly key: string | null;
  readonly value: Buffer;
}

const READ = `SELECT position, arrival, kind, key, value FROM log_records
  WHERE lineage = $1 AND position >= $2 ORDER BY position LIMIT $3`;

const recordOf = ({ position, arrival, kind, key, value }: Row): LogRecord => ({
  position: positionOf(position),
  arrival,
  key,
  value,
  ...(kind === 1 ? { control: JSON.parse(value.toString()) as Control } : {}),
});

export class LogReader implements Reader {
  readonly #shared: LogShared;
  readonly #lineage: string;
  #at: number;
  #checked = false;
  #wake = new AbortController();

  constructor(shared: LogShared, lineage: string, from: Position) {
    this.#shared = shared;
    this.#lineage = lineage;
    this.#at = offsetOf(from);
  }

  async next(stop: AbortSignal): Promise<Batch | undefined> {
    if (!this.#checked) await this.#demandWithinLog();
    for (let looks = 1; !stop.aborted; looks += 1) {
      // Before the look: an append that comes during it must not be slept through.
      this.#wake = new AbortController();
      this.#shared.waiting.set(this.#lineage, { poke: () => this.#wake.abort() });
      const rows = await this.#read();
      if (rows.length > 0) return this.#batch(rows);
      const wait = this.#shared.pollMs * Math.min(looks, PATIENCE);
      await this.#shared.clock.sleep(wait, AbortSignal.any([stop, this.#wake.signal]));
      if (this.#wake.signal.aborted) looks = 0;
    }
    return undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#shared.waiting.delete(this.#lineage);
    return Promise.resolve();
  }

  async #read(): Promise<Row[]> {
    try {
      return (await this.#shared.pool.query<Row & { [column: string]: unknown }>(READ, [this.#lineage, this.#at, PAGE]))
        .rows;
    } catch (error) {
      throw asFailure(error, `read ${this.#lineage}`, 'LOG_UNAVAILABLE');
    }
  }

  #batch(rows: readonly Row[]): Batch {
    const from = positionOf(this.#at);
    const first = rows[0]?.position;
    if (first !== this.#at) {
      throw new MeterError('LOG_TRIMMED', `read ${this.#lineage} from ${from}: the first record there is ${String(first)}`);
    }
    this.#at += rows.length;
    return { lineage: this.#lineage, from, next: positionOf(this.#at), records: rows.map(recordOf) };
  }

  /** A position that the log does not hold means that this is not the log that was read before, or that it was trimmed. */
  async #demandWithinLog(): Promise<void> {
    const text = `SELECT first_position AS first, next_position AS next FROM log_partitions WHERE lineage = $1`;
    const [row] = await run<{ first: number; next: number }>(this.#shared.pool, `open ${this.#lineage}`, text, [
      this.#lineage,
    ]);
    const what = `open ${this.#lineage} at ${positionOf(this.#at)}`;
    if (row === undefined || row.next < this.#at)
      throw new MeterError('LOG_REPLACED', `${what}: its end is ${String(row?.next)}`);
    if (row.first > this.#at) throw new MeterError('LOG_TRIMMED', `${what}: it begins at ${String(row.first)}`);
    this.#checked = true;
  }
}
