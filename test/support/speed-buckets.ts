/** Buckets of a speed store that are ready to be applied to. */
import { expect } from 'vitest';
import type { BucketView, SpeedStore } from '../../src/contract.ts';
import { at } from '../../src/conformance/places.ts';

/** Fills an empty bucket up to the start of a log: oldest epoch 2, incarnation `iBUCKET`. */
export async function openBucket(store: SpeedStore, bucket: number, lineage = 'l0'): Promise<BucketView> {
  const [seen, mint] = [await store.look(bucket, lineage), { incarnation: `i${bucket}`, oldest: 2 }];
  const fence = { position: at(0), arrival: 0, rules: 1 };
  const reply = await store.advance({ bucket, lineage, seen, mint, mark: 'm', parents: [], floor: 0, fence });
  if (!reply.ok) throw new Error(`a bucket that did not open: ${reply.refused}`);
  expect(reply.view.fence).toBe(at(0));
  return reply.view;
}
