/**
 * Fills a version of a meter with the usage that lies before its control records, from the archive, beside the versions that
 * answer. In each lineage its segments come in two kinds: sealed under rule sets without it, which are filled here, and
 * sealed under rule sets with it, which are published with it. It answers once no segment of the first kind is left.
 */
import type { BatchView, Catalog, Facts, Filled, Lineage, RuleSets, Source } from '../contract.ts';
import { CUT_END } from '../contract.ts';
import { type Meter, measures, meterId } from '../domain/meter.ts';
import { manifestRows } from '../sinks/archive/segments.ts';
import { fillSegment, type PublishPorts } from './publish.ts';

export interface BackfillPorts extends PublishPorts {
  readonly log: Pick<Source, 'lineages'>;
  readonly catalog: Catalog;
  readonly batch: BatchView;
  readonly ruleSets: RuleSets;
  readonly facts: Pick<Facts, 'filled' | 'serving'>;
}

/** One round: fills what is published, and lets versions answer that are filled. */
export async function fillVersions(ports: BackfillPorts, stop: AbortSignal): Promise<void> {
  const { ruleSets } = ports;
  await ruleSets.refresh();
  for (const meter of ruleSets.newest.meters.meters) {
    if (!ruleSets.serving.has(meterId(meter))) await fillMeter(ports, meter, stop);
  }
}

/** Fills one version as far as the view is published, and lets it answer once it is whole. */
export async function fillMeter(ports: BackfillPorts, meter: Meter, stop: AbortSignal): Promise<void> {
  const filled: Filled = await ports.batch.filled();
  const id = meterId(meter);
  let isWhole = true;
  for (const lineage of await ports.log.lineages()) {
    const from = filled.get(id)?.get(lineage.id) ?? 0;
    isWhole = (await fillLineage(ports, lineage, { meter, from }, stop)) && isWhole;
  }
  if (!isWhole) return;
  await ports.batch.serve(id);
  await ports.ruleSets.refresh();
  ports.facts.serving(id);
}

interface Task {
  readonly meter: Meter;
  /** The first segment that is not filled. */
  readonly from: number;
}

/** Answers whether everything of the lineage that lies before the version is in it. */
async function fillLineage(
  ports: BackfillPorts,
  lineage: Lineage,
  { meter, from }: Task,
  stop: AbortSignal,
): Promise<boolean> {
  const { batch, catalog, facts } = ports;
  // The head first: what is sealed meanwhile is then seen below, or left for the next round.
  const head = await catalog.head(lineage);
  if (head === undefined) return false;
  const cut = (await batch.cuts()).get(lineage.id)?.segments ?? 0;
  let next = from;
  for await (const row of manifestRows(catalog, lineage.id, from)) {
    if (await isMeasured(ports, row.rules, meter)) return true;
    // Let go again: what lies behind is not measured by anyone.
    if (await isPast(ports, row.rules, meter)) return true;
    if (stop.aborted || row.segment >= cut) return false;
    await fillSegment(ports, lineage, row, meter);
    next = row.segment + 1;
    facts.filled(meterId(meter), lineage.id, next, cut === CUT_END ? head.segment : cut);
  }
  if (next < head.segment) return false;
  return head.ended || (await isMeasured(ports, head.rules, meter)) || (await isPast(ports, head.rules, meter));
}

/** Whether segments that begin under these rules are published with the meter. */
async function isMeasured({ ruleSets }: BackfillPorts, rules: number, meter: Meter): Promise<boolean> {
  await ruleSets.demand(rules);
  return measures(ruleSets.get(rules).meters, meter);
}

/** Whether the version was in force before these rules, and is not in them. A version that is gone never comes back. */
async function isPast({ ruleSets }: BackfillPorts, rules: number, meter: Meter): Promise<boolean> {
  for (let version = rules - 1; version >= 1; version -= 1) {
    await ruleSets.demand(version);
    if (measures(ruleSets.get(version).meters, meter)) return true;
  }
  return false;
}
