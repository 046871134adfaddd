/** Publishes what is sealed, lineage by lineage, parents before children. */
import type { Clock } from '../clock.ts';
import type { Catalog, Cut, Facts, Lineage } from '../contract.ts';
import { CUT_END, END } from '../contract.ts';
import { publish, type PublishPorts } from './publish.ts';

export interface PublisherPorts extends PublishPorts {
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly facts: Pick<Facts, 'published'>;
}

/** Manifest rows fetched at a time. */
const PAGE = 64;

/** Publishes every sealed segment of a lineage that is below `upTo` and not yet in the cut. Answers how many it did. */
export async function publishLineage(
  ports: PublisherPorts,
  lineage: Lineage,
  stop: AbortSignal,
  upTo = CUT_END,
): Promise<number> {
  const cuts = await ports.batch.cuts();
  if (!lineage.parents.every((parent) => cuts.get(parent)?.segments === CUT_END)) return 0;
  let cut = cuts.get(lineage.id)?.segments ?? 0;
  let done = 0;
  const isStopped = (): boolean => stop.aborted;
  while (cut < upTo && !isStopped()) {
    const rows = await ports.catalog.manifest(lineage.id, cut, PAGE);
    if (rows.length === 0) {
      await closeIfEnded(ports, lineage, cut);
      break;
    }
    for (const row of rows) {
      if (isStopped() || row.segment >= upTo) break;
      const began = ports.clock.now();
      const events = await publish(ports, lineage, row);
      ports.facts.published(lineage.id, row.segment, events, (ports.clock.now() - began) / 1000);
      cut = row.segment + 1;
      done += 1;
    }
  }
  return done;
}

/** The last segment of a closed lineage is folded: its cut is END. */
async function closeIfEnded({ catalog, batch }: PublisherPorts, lineage: Lineage, segments: number): Promise<void> {
  const head = await catalog.head(lineage);
  if (head?.ended !== true || head.segment !== segments) return;
  const cut: Cut = { segments: CUT_END, position: END, arrival: head.arrival, rules: head.rules };
  await batch.transaction((tx) => tx.raiseCut(lineage.id, cut));
}
