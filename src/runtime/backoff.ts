/** Longest wait between two tries, ms: what a user waits at most after a dependency came back. */
const LONGEST_MS = 2000;
const FIRST_MS = 20;

/** Exponential back-off with full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), never under half. */
export function backoff(failures: number, random: () => number): number {
  const most = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures, 10));
  return Math.ceil(most / 2 + (most / 2) * random());
}
