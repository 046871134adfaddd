/** How far each partition is read, and what holds it back: for metrics and for operators. */
import type { Clock } from '../../clock.ts';
import type { Standing } from '../../contract.ts';
import { positionOf } from '../positions.ts';
import type { Fetched } from './api-fetch.ts';

interface Seen {
  readonly at: number;
  readonly end: number;
  readonly arrival: number | undefined;
  readonly held: { readonly at: number; readonly since: number } | undefined;
}

export class Standings {
  readonly #clock: Clock;
  readonly #hungAfterMs: number;
  readonly #seen = new Map<number, Seen>();

  constructor(clock: Clock, hungAfterMs: number) {
    this.#clock = clock;
    this.#hungAfterMs = hungAfterMs;
  }

  /** A fetch at this place found this. Of several readers of a partition the last one stands. */
  fetched(partition: number, at: number, { highWatermark: end, lastStable }: Fetched): void {
    const before = this.#seen.get(partition);
    const isStill = before?.held?.at === lastStable;
    const held = lastStable < end ? { at: lastStable, since: isStill ? before.held.since : this.#clock.now() } : undefined;
    this.#seen.set(partition, { at, end, arrival: before?.arrival, held });
  }

  /** A reader gave records up to this place. */
  given(partition: number, at: number, arrival: number | undefined): void {
    const before = this.#seen.get(partition);
    if (before !== undefined) this.#seen.set(partition, { ...before, at, arrival: arrival ?? before.arrival });
  }

  /** It is read no more, or by another process. */
  closed(partition: number): void {
    this.#seen.delete(partition);
  }

  /** Of the partitions that this process reads, by number. */
  all(lineageOf: (partition: number) => string): Standing[] {
    const all = [...this.#seen].sort(([a], [b]) => a - b);
    return all.map(([partition, { at, end, arrival, held }]) => {
      const lag = Math.max(end - at, 0);
      return { lineage: lineageOf(partition), at: positionOf(at), lag, arrival, heldBack: held && this.#heldBack(held) };
    });
  }

  #heldBack({ at, since }: NonNullable<Seen['held']>): Standing['heldBack'] {
    const forMs = Math.max(this.#clock.now() - since, 0);
    return { at: positionOf(at), forMs, isHung: forMs >= this.#hungAfterMs };
  }
}
