/** Lets one loop of a process tell another that there is work, so that neither polls fast. A poke is never lost. */
import type { Clock } from '../clock.ts';

export class Wake {
  readonly #clock: Clock;
  #poked = false;
  #waiting: AbortController | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  poke(): void {
    this.#poked = true;
    this.#waiting?.abort();
  }

  /** Resolves after `ms`, at once when poked since the last wait, or when `stop` aborts. */
  async wait(ms: number, stop: AbortSignal): Promise<void> {
    if (!this.#poked) {
      this.#waiting = new AbortController();
      await this.#clock.sleep(ms, AbortSignal.any([stop, this.#waiting.signal]));
      this.#waiting = undefined;
    }
    this.#poked = false;
  }
}
