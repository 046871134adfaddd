/** Garbage collection of the speed store: cells that the batch view holds, and epochs of digests that nothing needs. */
import type { BatchView, Catalog, Cut, SpeedStore } from '../contract.ts';
import { epochOf } from '../domain/epoch.ts';

export interface CollectPorts {
  readonly store: SpeedStore;
  readonly batch: Pick<BatchView, 'cuts'>;
  readonly catalog: Pick<Catalog, 'heads' | 'segmentsBefore'>;
  readonly buckets: number;
  readonly epochMs: number;
}

/** Epochs of digests that are always kept: a copy is expected soon after its first. */
const KEPT_EPOCHS = 2;

/** Deletes cells below cuts that were read a grace ago, so that answers under way on those snapshots need not start over. */
export async function collectCells(ports: CollectPorts, cuts: ReadonlyMap<string, Cut>): Promise<void> {
  for (let bucket = 0; bucket < ports.buckets; bucket += 1) {
    for (const [lineage, { segments }] of cuts) if (segments > 0) await ports.store.collect(bucket, lineage, segments);
  }
}

/**
 * Drops the epochs of a bucket that nothing needs any more: two newer hold digests, and every `ok` event that arrived in
 * them lies below its lineage's floor. What is not sealed arrived at or after its head's running maximum.
 */
export async function dropEpochs(ports: CollectPorts, bucket: number): Promise<boolean> {
  const held = await ports.store.epochs(bucket);
  const epoch = held.at(-1 - KEPT_EPOCHS);
  if (epoch === undefined) return false;
  const heads = await ports.catalog.heads();
  if (heads.some((head) => !head.ended && epochOf(head.arrival, ports.epochMs) <= epoch)) return false;
  const needed = await ports.catalog.segmentsBefore((epoch + 1) * ports.epochMs);
  return ports.store.dropEpoch(bucket, epoch, needed);
}

/** One round over all buckets. Answers the cuts to collect in the next round. */
export async function collect(ports: CollectPorts, before: ReadonlyMap<string, Cut>): Promise<ReadonlyMap<string, Cut>> {
  const cuts = await ports.batch.cuts();
  await collectCells(ports, before);
  for (let bucket = 0; bucket < ports.buckets; bucket += 1) while (await dropEpochs(ports, bucket));
  return cuts;
}
