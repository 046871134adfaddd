/** Looks how far the batch view and the outbox are behind, for those who are told when it is too far. */
import type { Clock } from '../clock.ts';
import type { BatchView, Catalog, Facts, Stock } from '../contract.ts';
import { CUT_END } from '../contract.ts';

export interface StockPorts {
  readonly catalog: Pick<Catalog, 'heads' | 'outbox'>;
  readonly batch: Pick<BatchView, 'cuts'>;
  readonly clock: Clock;
  readonly facts: Pick<Facts, 'stocked'>;
}

/** The record that was the oldest of the outbox at the last look, and since when. */
export interface Oldest {
  readonly id: string;
  readonly since: number;
}

/** A record that is relayed makes another one the oldest: whose time grows is stuck. Answers what the next look is given. */
export async function takeStock(ports: StockPorts, before: Oldest | undefined): Promise<Oldest | undefined> {
  const lineages = await behind(ports);
  const [first] = await ports.catalog.outbox(1);
  const now = ports.clock.now();
  const oldest = first === undefined ? undefined : { id: first.id, since: before?.id === first.id ? before.since : now };
  ports.facts.stocked({ lineages, outboxMs: oldest === undefined ? 0 : Math.max(now - oldest.since, 0) });
  return oldest;
}

/** Cuts first: what is sealed in between is counted as behind, never less than nothing. */
async function behind({ catalog, batch }: StockPorts): Promise<Stock['lineages']> {
  const cuts = await batch.cuts();
  return (await catalog.heads()).map(({ lineage, segment }) => {
    const { segments = 0, arrival = 0 } = cuts.get(lineage) ?? {};
    return { lineage, behind: segments === CUT_END ? 0 : Math.max(segment - segments, 0), publishedArrival: arrival };
  });
}
