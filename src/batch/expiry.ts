/**
 * What leaves the tables: months of hourly usage, keys, and what event rows say beside their key. In bounded steps, each a
 * short transaction of its own. Objects of the archive are never touched: they are the truth that all of it comes from.
 */
import type { BatchView, Source, Tables } from '../contract.ts';
import { CUT_END } from '../contract.ts';
import { FUTURE_BOUND_MS } from '../domain/epoch.ts';
import { type Kept, monthOf, startOfMonth } from '../domain/kept.ts';

export interface ExpiryPorts {
  readonly tables: Tables;
  readonly source: Pick<Source, 'lineages'>;
  readonly batch: Pick<BatchView, 'cuts'>;
}
export interface ExpirySettings {
  readonly kept: Kept;
  readonly epochMs: number;
  /** How long event rows keep subject and properties, ms of event time; 0: for ever. */
  readonly eventRowRetentionMs: number;
}

/** Rows of one step: it must leave the one session of the embedded server within 100 ms. */
const STEP_ROWS = 500;
/** Months that there are ahead of an event, with the one of today. */
const MONTHS_AHEAD = 3;
const MS_PER_HOUR = 3_600_000;

/** An hour of this month and of each that follows: what publishes will need. */
export const hoursAhead = (now: number): { readonly hour: number }[] =>
  Array.from({ length: MONTHS_AHEAD }, (_, n) => ({ hour: startOfMonth(monthOf(now) + n) / MS_PER_HOUR }));

/**
 * No record that is still to be published arrived before this, ms: the least arrival up to which a lineage is published,
 * less an epoch, by which clocks of brokers may differ, and the future bound, by which the edge is stricter. Undefined: not known.
 */
async function settledBefore({ source, batch }: ExpiryPorts, epochMs: number): Promise<number | undefined> {
  const lineages = await source.lineages();
  const cuts = await batch.cuts();
  const arrivals = lineages.map(({ id }) => cuts.get(id)).filter((cut) => cut?.segments !== CUT_END);
  if (arrivals.length === 0) return undefined;
  return Math.min(...arrivals.map((cut) => cut?.arrival ?? 0)) - epochMs - FUTURE_BOUND_MS;
}

/** Steps until one finds nothing, or `stop` aborts. */
async function drain(step: (limit: number) => Promise<number>, stop: AbortSignal): Promise<number> {
  let all = 0;
  while (!stop.aborted) {
    const done = await step(STEP_ROWS);
    all += done;
    if (done === 0) break;
  }
  return all;
}

/** One round. Answers how many rows and months left. */
export async function expire(
  ports: ExpiryPorts,
  { kept, epochMs, eventRowRetentionMs }: ExpirySettings,
  now: number,
  stop: AbortSignal,
): Promise<{ readonly emptied: number; readonly keys: number; readonly months: number }> {
  const { tables } = ports;
  const emptied =
    eventRowRetentionMs === 0 ? 0 : await drain((limit) => tables.emptyEvents(now - eventRowRetentionMs, limit), stop);
  const settled = await settledBefore(ports, epochMs);
  if (settled === undefined) return { emptied, keys: 0, months: 0 };
  const { keyRetentionMs, usageRetentionMonths } = kept;
  const keys = keyRetentionMs === 0 ? 0 : await drain((limit) => tables.forgetKeys(settled - keyRetentionMs, limit), stop);
  const months = usageRetentionMonths === 0 ? 0 : await dropMonths(tables, monthOf(settled) - usageRetentionMonths, stop);
  return { emptied, keys, months };
}

async function dropMonths(tables: Tables, before: number, stop: AbortSignal): Promise<number> {
  const isStopped = (): boolean => stop.aborted;
  for (let months = 0; ; months += 1) {
    const month = await tables.oldestUsageMonth();
    if (month === undefined || month >= before || isStopped()) return months;
    await drain((limit) => tables.forgetHours(month, limit), stop);
    if (isStopped()) return months;
    await tables.dropUsageMonth(month);
  }
}
