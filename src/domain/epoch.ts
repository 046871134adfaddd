/** Epochs: intervals of arrival whose key digests are kept and dropped together (rule P3). */

/** `event_timestamp` may lie this far after arrival, ms. */
export const FUTURE_BOUND_MS = 5 * 60_000;

export const epochOf = (arrivalMs: number, epochMs: number): number => Math.floor(arrivalMs / epochMs);

/**
 * Events before this time (microseconds) are looked up in the batch view, because their first copy may have arrived in an
 * epoch whose digests are gone. An event arrives at most the future bound before its own time.
 */
export const lookUpBefore = (oldest: number, epochMs: number): number => (oldest * epochMs + FUTURE_BOUND_MS) * 1000;
