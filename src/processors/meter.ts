/** Events to contributions: what each adds to which cells. */
import type { Facts, Judged, Processor } from '../contract.ts';
import type { Contribution } from '../domain/cell.ts';
import { measure, type MeterSet } from '../domain/meter.ts';

const NONE: readonly Contribution[] = [];

export const meter = (
  meters: MeterSet,
  facts?: Pick<Facts, 'skippedMeter' | 'unmetered'>,
): Processor<Judged, Judged & { readonly contributions: readonly Contribution[] }> => ({
  name: 'meter',
  process: (judged, lineage) => {
    const { event, verdict, record } = judged;
    if (verdict !== 'ok' || event === undefined) return { ...judged, contributions: NONE };
    const concerned = meters.forType(event.type);
    if (concerned.length === 0) facts?.unmetered(event.type, 1);
    const place = { depth: lineage.depth, lineage: lineage.id, position: record.position };
    const { contributions, skipped } = measure(event, place, concerned);
    for (const key of skipped) facts?.skippedMeter(key, 1);
    return { ...judged, contributions };
  },
});
