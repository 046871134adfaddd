/** Events to contributions: what each adds to which cells. */
import type { Facts, Judged, Processor, RuleSets } from '../contract.ts';
import type { Contribution } from '../domain/cell.ts';
import { GroupBound } from '../domain/groups.ts';
import { measure } from '../domain/meter.ts';

const NONE: readonly Contribution[] = [];

export interface MeterOptions {
  readonly ruleSets: Pick<RuleSets, 'get'>;
  readonly facts?: Pick<Facts, 'skippedMeter' | 'unmetered' | 'otherGroup'>;
}

export function meter({
  ruleSets,
  facts,
}: MeterOptions): Processor<Judged, Judged & { readonly contributions: readonly Contribution[] }> {
  const bound = new GroupBound();
  const beyond = (id: string): void => facts?.otherGroup(id, 1);
  return {
    name: 'meter',
    process: (judged, { lineage, segment, rules }) => {
      const { event, verdict, record } = judged;
      if (verdict !== 'ok' || event === undefined) return { ...judged, contributions: NONE };
      const { meters, maxGroups } = ruleSets.get(rules);
      const concerned = meters.forType(event.type);
      if (concerned.length === 0) facts?.unmetered(event.type, 1);
      const place = { depth: lineage.depth, lineage: lineage.id, position: record.position };
      const { contributions, skipped } = measure(event, place, concerned);
      for (const key of skipped) facts?.skippedMeter(key, 1);
      return { record, event, verdict, contributions: bound.limit({ segment, most: maxGroups }, contributions, beyond) };
    },
  };
}
