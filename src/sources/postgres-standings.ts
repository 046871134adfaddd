/** How far the partitions are read that this process reads, for metrics. Ends are as of the last look at them. */
import type { Position, Standing } from '../contract.ts';
import { isEnd, offsetOf } from './positions.ts';
import type { Tail } from './postgres-tail.ts';

interface Seen {
  readonly at: Position;
  readonly arrival: number | undefined;
}

export class Standings {
  readonly #tail: Pick<Tail, 'extent'>;
  readonly #seen = new Map<string, Seen>();

  constructor(tail: Pick<Tail, 'extent'>) {
    this.#tail = tail;
  }

  /** A reader goes on at this place. Of several readers of a partition the last one stands. */
  given(lineage: string, at: Position, arrival: number | undefined): void {
    this.#seen.set(lineage, { at, arrival: arrival ?? this.#seen.get(lineage)?.arrival });
  }

  /** It is read no more, or by another process. */
  closed(lineage: string): void {
    this.#seen.delete(lineage);
  }

  all(): Standing[] {
    return [...this.#seen].map(([lineage, { at, arrival }]) => {
      const end = this.#tail.extent(lineage)?.end ?? 0;
      const lag = isEnd(at) ? 0 : Math.max(end - offsetOf(at), 0);
      return { lineage, at, lag, arrival, heldBack: undefined };
    });
  }
}
