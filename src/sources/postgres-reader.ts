/** Reads one partition of the PostgreSQL log. */
import type { Pool } from 'pg';
import { type Batch, END, type LogRecord, type Position, type Reader } from '../contract.ts';
import { MeterError } from '../errors.ts';
import { asFailure } from '../sinks/postgres/pool.ts';
import { decodeControl, isEnd, offsetOf, positionOf } from './positions.ts';
import type { Standings } from './postgres-standings.ts';
import type { Tail } from './postgres-tail.ts';

/** One batch holds at most so many records, and ends with the one that fills so many bytes of values. */
const MOST_RECORDS = 2000;
const MOST_BYTES = 1024 * 1024;

const READ = `
  SELECT position, arrival, kind, key, value FROM (
    SELECT page.*, sum(octet_length(value)) OVER (ORDER BY position) - octet_length(value) AS before
    FROM (SELECT * FROM log_records WHERE lineage = $1 AND position >= $2 ORDER BY position LIMIT $3) page
  ) sized WHERE before < $4 ORDER BY position`;

interface Row {
  readonly position: number;
  readonly arrival: number;
  readonly kind: number;
  readonly key: string | null;
  readonly value: Buffer;
  readonly [column: string]: unknown;
}

interface ReaderPorts {
  readonly pool: Pool;
  readonly tail: Tail;
  readonly standings: Standings;
}

export class LogReader implements Reader {
  readonly #pool: Pool;
  readonly #tail: Tail;
  readonly #standings: Standings;
  readonly #lineage: string;
  /** Undefined behind the end of a closed partition. */
  #at: number | undefined;
  #checked = false;

  constructor(ports: ReaderPorts, lineage: string, from: Position) {
    this.#pool = ports.pool;
    this.#tail = ports.tail;
    this.#standings = ports.standings;
    this.#lineage = lineage;
    this.#at = isEnd(from) ? undefined : offsetOf(from);
  }

  async next(stop: AbortSignal): Promise<Batch | undefined> {
    if (!this.#checked) {
      await this.#tail.lookAnew();
      await this.#demandHeld();
      this.#checked = true;
    }
    while (!stop.aborted) {
      const at = this.#at;
      if (at === undefined) return this.#over(END);
      const found = await this.#look(at);
      if (found !== undefined) return this.#given(found);
      await this.#tail.wait(this.#lineage, at, stop);
    }
    return undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#standings.closed(this.#lineage);
    return Promise.resolve();
  }

  #given(batch: Batch): Batch {
    this.#standings.given(this.#lineage, batch.next, batch.records.at(-1)?.arrival);
    return batch;
  }

  /** What is at `at`; undefined where the log ends there for now. */
  async #look(at: number): Promise<Batch | undefined> {
    const { end = at, ended = false } = this.#tail.extent(this.#lineage) ?? {};
    if (end > at) return this.#batch(at, await this.#read(at));
    if (end === at && ended) {
      this.#at = undefined;
      return this.#over(positionOf(at));
    }
    await this.#demandHeld();
    return undefined;
  }

  async #read(at: number): Promise<Row[]> {
    try {
      return (await this.#pool.query<Row>(READ, [this.#lineage, at, MOST_RECORDS, MOST_BYTES])).rows;
    } catch (error) {
      throw asFailure(error, `read ${this.#lineage}`, 'LOG_UNAVAILABLE');
    }
  }

  async #batch(at: number, rows: readonly Row[]): Promise<Batch> {
    // Positions are dense: with the first and the last right, none is missing.
    const isWhole = rows[0]?.position === at && rows.at(-1)?.position === at + rows.length - 1;
    if (!isWhole) {
      await this.#tail.lookAnew();
      await this.#demandHeld();
      const found = rows.length === 0 ? 'nothing' : `${rows.length} records from ${positionOf(rows[0]?.position ?? 0)} on`;
      throw new MeterError('LOG_DISORDER', `read ${this.#lineage} from ${positionOf(at)}: there is a gap; found ${found}`);
    }
    this.#at = at + rows.length;
    const records = rows.map((row) => this.#record(row));
    return { lineage: this.#lineage, from: positionOf(at), next: positionOf(this.#at), records };
  }

  #record({ position, arrival, kind, key, value }: Row): LogRecord {
    const record = { position: positionOf(position), arrival, key, value };
    return kind === 0 ? record : { ...record, control: decodeControl(value, `${this.#lineage} at ${record.position}`) };
  }

  #over(from: Position): Batch {
    return { lineage: this.#lineage, from, next: END, records: [] };
  }

  /** A place that the log does not hold means that it was trimmed, or that this is not the log that was read before. */
  async #demandHeld(): Promise<void> {
    if (this.#isHeld()) return;
    // What is known may be older than the last read.
    await this.#tail.lookAnew();
    if (this.#isHeld()) return;
    const extent = this.#tail.extent(this.#lineage);
    const what = `read ${this.#lineage} at ${this.#at === undefined ? END : positionOf(this.#at)}`;
    if (extent !== undefined && this.#at !== undefined && this.#at < extent.first) {
      throw new MeterError('LOG_TRIMMED', `${what}: it begins at ${positionOf(extent.first)}`);
    }
    const fact = extent === undefined ? 'there is no such partition' : `it ends at ${positionOf(extent.end)}`;
    throw new MeterError('LOG_REPLACED', `${what}: ${fact}`);
  }

  #isHeld(): boolean {
    const extent = this.#tail.extent(this.#lineage);
    if (extent === undefined) return false;
    return this.#at === undefined ? extent.ended : extent.first <= this.#at && this.#at <= extent.end;
  }
}
