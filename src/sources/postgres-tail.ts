/** How far the partitions reach, as this process knows: one look for all of its readers, however many wait. */
import type { Pool } from 'pg';
import type { Clock } from '../clock.ts';
import { asFailure } from '../sinks/postgres/pool.ts';

export interface Extent {
  /** Offset of the first record that is not trimmed. */
  readonly first: number;
  /** Offset of the next record. */
  readonly end: number;
  readonly ended: boolean;
}

interface Row extends Extent {
  readonly lineage: string;
}

const LOOK = 'SELECT lineage, first_position AS first, next_position AS "end", ended FROM log_partitions';

export class Tail {
  readonly #pool: Pool;
  readonly #clock: Clock;
  readonly #pollMs: number;
  readonly #extents = new Map<string, Extent>();
  readonly #sleepers = new Map<string, Set<() => void>>();
  /** Ends that appends of this process told while a look was under way, which may not have seen them. */
  readonly #told = new Map<string, number>();
  #looking: Promise<void> | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor({ pool, clock, pollMs }: { readonly pool: Pool; readonly clock: Clock; readonly pollMs: number }) {
    this.#pool = pool;
    this.#clock = clock;
    this.#pollMs = pollMs;
  }

  /** As of the last look or append; undefined where there is no such partition. */
  extent(lineage: string): Extent | undefined {
    return this.#extents.get(lineage);
  }

  /** An append of this process was acknowledged: its readers need not wait for a look. */
  moved(lineage: string, end: number): void {
    const known = this.#extents.get(lineage);
    this.#told.set(lineage, Math.max(end, this.#told.get(lineage) ?? 0));
    if (known === undefined || known.end >= end) return;
    this.#extents.set(lineage, { ...known, end });
    this.#wake(lineage);
  }

  /** Looks at what is there now, not at what a look that began earlier found. Throws LOG_UNAVAILABLE. */
  async lookAnew(): Promise<void> {
    await this.#looking?.catch(() => undefined);
    await this.#look();
  }

  /**
   * For a reader at the end `at`: returns after an append to the partition, a look, or `stop`, whichever is first. Throws
   * LOG_UNAVAILABLE.
   */
  async wait(lineage: string, at: number, stop: AbortSignal): Promise<void> {
    const before = this.#extents.get(lineage);
    if (before?.end !== at || before.ended) return;
    await this.#sleep(lineage, stop);
    if (stop.aborted || this.#extents.get(lineage) !== before) return;
    // Others have looked while this one slept, and would have woken it. A clock that was set back counts as long ago.
    if (Math.abs(this.#clock.now() - this.#lookedAt) >= this.#pollMs) await this.#look();
  }

  /** Not AbortSignal.any: on Node 20 each would stay registered at `stop` for as long as that lives. */
  async #sleep(lineage: string, stop: AbortSignal): Promise<void> {
    const awake = new AbortController();
    const wake = (): void => awake.abort();
    const sleepers = this.#sleepers.get(lineage) ?? new Set();
    this.#sleepers.set(lineage, sleepers.add(wake));
    stop.addEventListener('abort', wake, { once: true });
    await this.#clock.sleep(this.#pollMs, awake.signal);
    stop.removeEventListener('abort', wake);
    sleepers.delete(wake);
  }

  #wake(lineage: string): void {
    for (const wake of this.#sleepers.get(lineage) ?? []) wake();
  }

  #look(): Promise<void> {
    this.#looking ??= this.#read().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #read(): Promise<void> {
    this.#told.clear();
    this.#lookedAt = this.#clock.now();
    let rows: Row[];
    try {
      ({ rows } = await this.#pool.query<Row & { [column: string]: unknown }>(LOOK));
    } catch (error) {
      throw asFailure(error, 'look how far the log reaches', 'LOG_UNAVAILABLE');
    }
    const found = new Set(rows.map(({ lineage }) => lineage));
    for (const lineage of this.#extents.keys()) if (!found.has(lineage)) this.#extents.delete(lineage);
    for (const { lineage, first, end, ended } of rows) {
      const known = this.#extents.get(lineage);
      const now = { first, end: Math.max(end, this.#told.get(lineage) ?? 0), ended };
      if (known?.first === now.first && known.end === now.end && known.ended === ended) continue;
      this.#extents.set(lineage, now);
      this.#wake(lineage);
    }
  }
}
