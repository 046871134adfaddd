/**
 * How far back keys and hourly usage are kept. Verdicts depend on it, so it is fixed at the first start and compared with a
 * record's arrival, never with a wall clock: what is let go of can then be needed by no record that is still to come.
 */
import type { UsageEvent } from './event.ts';
import { fault, type Fault } from './fault.ts';
import { formatTime } from './time.ts';

export interface Kept {
  /** Keys of events up to this old, ms; 0: for ever. */
  readonly keyRetentionMs: number;
  /** Hourly usage of the month of arrival and so many before it; 0: for ever. */
  readonly usageRetentionMonths: number;
}
export const FOR_EVER: Kept = { keyRetentionMs: 0, usageRetentionMonths: 0 };

/** Months since 1970, UTC. */
export function monthOf(ms: number): number {
  const date = new Date(ms);
  return (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth();
}
/** Ms. */
export const startOfMonth = (month: number): number => Date.UTC(1970, month);

/** The latest of the bounds, ms of event time, and the setting that it comes from. Undefined: everything is kept. */
export function keptSince(
  atMs: number,
  { keyRetentionMs, usageRetentionMonths }: Kept,
): { readonly ms: number; readonly setting: keyof Kept } | undefined {
  const keys = keyRetentionMs === 0 ? -Infinity : atMs - keyRetentionMs;
  const usage = usageRetentionMonths === 0 ? -Infinity : startOfMonth(monthOf(atMs) - usageRetentionMonths);
  const ms = Math.max(keys, usage);
  if (ms === -Infinity) return undefined;
  return { ms, setting: keys >= usage ? 'keyRetentionMs' : 'usageRetentionMonths' };
}

/** TOO_OLD, with the setting in its reason, for an event whose key or month is let go of. `atMs`: the arrival of its record. */
export function checkKept({ timestamp }: UsageEvent, atMs: number, kept: Kept): Fault | undefined {
  const since = keptSince(atMs, kept);
  if (since === undefined || timestamp >= since.ms * 1000) return undefined;
  const reason = `a time before ${formatTime(since.ms * 1000)}, the bound of ${since.setting}: older ones could not be told from copies, or have no hour`;
  return fault('TOO_OLD', 'event_timestamp', formatTime(timestamp), reason);
}
