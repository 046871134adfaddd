/** The partitions that this process is working on. One that it has to give up is drained first. */
import { asError } from '../../errors.ts';

/** Works on a partition until `giveUp` aborts, and resolves once nothing of it is under way. */
export type Hold = (partition: number, giveUp: AbortSignal) => Promise<void>;

interface Held {
  readonly giveUp: AbortController;
  readonly done: Promise<void>;
}

export class Holdings {
  readonly #hold: Hold;
  readonly #ended: () => void;
  readonly #held = new Map<number, Held>();
  #assigned: ReadonlySet<number> = new Set();
  #failure: Error | undefined;

  /** `ended` is told of each partition that is given up. */
  constructor(hold: Hold, ended: () => void) {
    this.#hold = hold;
    this.#ended = ended;
  }

  /** What is worked on, what is drained included. */
  get held(): readonly number[] {
    return [...this.#held.keys()];
  }
  /** What a `hold` threw first. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** From now on these are ours: others are drained, and new ones begin. */
  assign(partitions: readonly number[]): void {
    this.#assigned = new Set(partitions);
    for (const [partition, { giveUp }] of this.#held) if (!this.#assigned.has(partition)) giveUp.abort();
    for (const partition of this.#assigned) this.#begin(partition);
  }

  /** Gives all of them up. Resolves once nothing is under way. */
  async drain(): Promise<void> {
    this.assign([]);
    await Promise.all([...this.#held.values()].map(({ done }) => done));
  }

  #begin(partition: number): void {
    if (this.#held.has(partition) || this.#failure !== undefined) return;
    const giveUp = new AbortController();
    this.#held.set(partition, { giveUp, done: this.#work(partition, giveUp.signal) });
  }

  async #work(partition: number, giveUp: AbortSignal): Promise<void> {
    try {
      await this.#hold(partition, giveUp);
    } catch (error) {
      this.#failure ??= asError(error);
    }
    this.#held.delete(partition);
    // Given up, and ours again before that was done.
    if (giveUp.aborted && this.#assigned.has(partition)) this.#begin(partition);
    this.#ended();
  }
}
