/** How far the batch view and the outbox are behind, as the scheduler looks it up in the database. */
import type { Facts } from '../contract.ts';
import type { FactsPorts } from './facts-ports.ts';
import { gauge, gauges } from './metrics.ts';

export function stockFacts({ registry: r }: FactsPorts): Pick<Facts, 'stocked'> {
  const unpublished = gauges(
    r,
    { name: 'meterfold_segments_unpublished', help: 'Sealed segments that the batch view has not folded yet' },
    'lineage',
  );
  const arrival = gauges(
    r,
    {
      name: 'meterfold_published_arrival_seconds',
      help: 'Arrival up to which the batch view has folded, seconds since 1970; 0 before the first segment',
    },
    'lineage',
  );
  const waiting = gauge(r, {
    name: 'meterfold_outbox_waiting_seconds',
    help: 'How long the oldest record of the outbox has been seen there; 0 where it is empty',
  });
  return {
    stocked: ({ lineages, outboxMs }) => {
      for (const { lineage, behind, publishedArrival } of lineages) {
        unpublished(lineage, behind);
        arrival(lineage, publishedArrival / 1000);
      }
      waiting(outboxMs / 1000);
    },
  };
}
