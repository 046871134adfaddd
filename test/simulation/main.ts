/** Runs schedules in this process, and prints what came of them as one line of JSON. */
import { runSchedule } from './schedule.ts';

export interface Report {
  readonly ran: number;
  readonly counts: Record<string, number>;
  readonly failed?: { readonly seed: number; readonly failure: string };
}

/** Every `stride`-th seed from `seed` on, until one fails. */
export async function runSchedules(schedules: number, steps: number, seed: number, stride = 1): Promise<Report> {
  const counts = new Map<string, number>();
  for (let n = 0; n < schedules; n += 1) {
    const outcome = await runSchedule(seed + n * stride, steps);
    for (const [name, count] of outcome.counts) counts.set(name, (counts.get(name) ?? 0) + count);
    const report = { ran: n + 1, counts: Object.fromEntries(counts) };
    if (outcome.failure !== undefined) return { ...report, failed: { seed: seed + n * stride, failure: outcome.failure } };
  }
  return { ran: schedules, counts: Object.fromEntries(counts) };
}
