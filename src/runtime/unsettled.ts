/** The one bound on what is read and not settled: back-pressure on the source. */
export class Unsettled {
  readonly #bound: number;
  #records = 0;
  readonly #room: (() => void)[] = [];

  /** `bound`: records. A single batch may pass it, so that one larger than the bound still goes through. */
  constructor(bound: number) {
    this.#bound = bound;
  }

  get records(): number {
    return this.#records;
  }

  add(records: number): void {
    this.#records += records;
  }

  settle(records: number): void {
    this.#records -= records;
    if (this.#records < this.#bound) for (const wake of this.#room.splice(0)) wake();
  }

  /** Resolves once there is room for another batch. */
  room(): Promise<void> {
    if (this.#records < this.#bound) return Promise.resolve();
    return new Promise((resolve) => this.#room.push(resolve));
  }
}
