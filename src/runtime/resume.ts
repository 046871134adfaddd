/** The arithmetic of resuming: where to read from, and what must hold between one batch and the next. Nothing else decides it. */
import { type Batch, END, type Opened, type Position } from '../contract.ts';
import type { Head } from '../domain/segment.ts';
import { MeterError } from '../errors.ts';

/**
 * The earliest row that any sink still needs. A row is the start of a segment, so that boundaries are counted right; sinks
 * that are further crop what they hold.
 */
export function earliestRow(opened: readonly Opened[]): Head {
  const rows = opened.map(({ row }) => row);
  const first = rows[0];
  if (first === undefined) throw new RangeError('resume: a lineage without sinks has nowhere to start');
  return rows.reduce((least, row) => (row.start < least.start ? row : least), first);
}

/** A batch must start where the last one ended and move forward, else records were skipped or repeated unseen. */
export function demandContinuation(batch: Batch<unknown>, expected: Position): void {
  const { lineage, from, next } = batch;
  if (from !== expected)
    throw new MeterError('LOG_DISORDER', `read ${lineage}: a batch starts at ${from}, expected ${expected}`);
  if (next < from) throw new MeterError('LOG_DISORDER', `read ${lineage}: a batch at ${from} goes back to ${next}`);
}

/** Whether a lineage is read to its close. */
export const isEnd = (position: Position): boolean => position === END;
