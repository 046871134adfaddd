/** What this process works on, by the name that its log has for it. What it has to give up is drained first. */
import { asError } from '../errors.ts';

/** Works on a part of the log until `giveUp` aborts, and resolves once nothing of it is under way. */
export type Hold<Name> = (part: Name, giveUp: AbortSignal) => Promise<void>;

interface Held {
  readonly giveUp: AbortController;
  readonly done: Promise<void>;
}

export class Holdings<Name> {
  readonly #hold: Hold<Name>;
  readonly #ended: () => void;
  readonly #held = new Map<Name, Held>();
  #assigned: ReadonlySet<Name> = new Set();
  #failure: Error | undefined;

  /** `ended` is told of each part that is given up. */
  constructor(hold: Hold<Name>, ended: () => void) {
    this.#hold = hold;
    this.#ended = ended;
  }

  /** What is worked on, what is drained included. */
  get held(): readonly Name[] {
    return [...this.#held.keys()];
  }
  /** What a `hold` threw first. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** From now on these are ours: others are drained, and new ones begin. */
  assign(parts: readonly Name[]): void {
    this.#assigned = new Set(parts);
    for (const [part, { giveUp }] of this.#held) if (!this.#assigned.has(part)) giveUp.abort();
    for (const part of this.#assigned) this.#begin(part);
  }

  /** Gives all of them up. Resolves once nothing is under way. */
  async drain(): Promise<void> {
    this.assign([]);
    await Promise.all([...this.#held.values()].map(({ done }) => done));
  }

  #begin(part: Name): void {
    if (this.#held.has(part) || this.#failure !== undefined) return;
    const giveUp = new AbortController();
    this.#held.set(part, { giveUp, done: this.#work(part, giveUp.signal) });
  }

  async #work(part: Name, giveUp: AbortSignal): Promise<void> {
    try {
      await this.#hold(part, giveUp);
    } catch (error) {
      this.#failure ??= asError(error);
    }
    this.#held.delete(part);
    // Given up, and ours again before that was done.
    if (giveUp.aborted && this.#assigned.has(part)) this.#begin(part);
    this.#ended();
  }
}
