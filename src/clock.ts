/** All time in Meterfold comes from here, so that a test can own it. */
import { setMaxListeners } from 'node:events';

export interface Clock {
  /** Milliseconds since 1970, UTC. May go back when the machine's clock is set. */
  now(): number;
  /** Resolves after `ms`, or at once (without an error) when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve();
        return;
      }
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      if (signal === undefined) return;
      // A lane each waits on the same one, and leaves it again: no leak that Node would have to warn of.
      setMaxListeners(0, signal);
      signal.addEventListener('abort', done, { once: true });
    }),
};
