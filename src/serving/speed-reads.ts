/**
 * Live counters within a deadline. A store that does not answer costs one query its deadline, not every query the timeout of a
 * client: an answer without live counters is exact, too, as of the cut.
 */
import type { Clock } from '../clock.ts';
import type { BucketState, SpeedStore } from '../contract.ts';
import { MeterError } from '../errors.ts';

type Reading = Pick<SpeedStore, 'read' | 'database'>;

export interface SpeedReadsOptions {
  readonly clock: Clock;
  /** How long a read is waited for, and how long nobody tries after one that was waited for in vain, ms. */
  readonly deadlineMs: number;
  /** Resolves once what has arrived at this process is taken in. */
  readonly arrived?: () => Promise<void>;
}

/** The event loop looks at its sockets before this comes. */
const socketsSeen = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const LATE = Symbol('late');

/**
 * Closed: every read is tried. Open, from the first read that is late until the store is heard again, be it by the reply of
 * that one: reads are refused at once, but for one in a deadline's time, which tries.
 */
export class SpeedReads implements Reading {
  readonly #store: Reading;
  readonly #options: Required<SpeedReadsOptions>;
  /** While open: when the last try began to be in vain. */
  #openedAt: number | undefined;

  constructor(store: Reading, options: SpeedReadsOptions) {
    this.#store = store;
    this.#options = { arrived: socketsSeen, ...options };
  }

  get database(): string | undefined {
    return this.#store.database;
  }

  /** Throws SPEED_UNAVAILABLE once the deadline is over, or at once while the store is silent; and what the store throws. */
  async read(...asked: Parameters<SpeedStore['read']>): Promise<readonly BucketState[]> {
    this.#admit();
    const reading = this.#store.read(...asked).then((states) => {
      this.#openedAt = undefined;
      return states;
    });
    const found = await this.#within(reading);
    if (found !== LATE) return found;
    this.#openedAt = this.#options.clock.now();
    // Whoever waited has gone on without it.
    reading.catch(() => undefined);
    throw this.#silent('did not answer');
  }

  /** Throws while the store is silent, but for the one that tries. */
  #admit(): void {
    const { clock, deadlineMs } = this.#options;
    if (this.#openedAt === undefined) return;
    const now = clock.now();
    if (Math.abs(now - this.#openedAt) < deadlineMs) throw this.#silent('is not asked again yet: it did not answer');
    // Others are refused while this one tries.
    this.#openedAt = now;
  }

  async #within<T>(reading: Promise<T>): Promise<T | typeof LATE> {
    const over = new AbortController();
    try {
      return await Promise.race([reading, this.#late(over.signal)]);
    } finally {
      over.abort();
    }
  }

  /** A process that was held up itself finds its timer and the reply together: the reply counts. */
  async #late(over: AbortSignal): Promise<typeof LATE> {
    const { clock, deadlineMs, arrived } = this.#options;
    await clock.sleep(deadlineMs, over);
    await arrived();
    return LATE;
  }

  #silent(how: string): MeterError {
    const { deadlineMs } = this.#options;
    return new MeterError('SPEED_UNAVAILABLE', `read the live counters: the store ${how} within ${String(deadlineMs)} ms`, {
      retryAfterMs: deadlineMs,
    });
  }
}
