/**
 * After a loss: brings (bucket, lineage) to the first unpublished segment, in chunks: floor first, keys, fence last. Every
 * chunk carries what its predecessor left, so that one that was lost in between is noticed.
 */
import type { AdvanceRequest, BucketView, Cut, Lineage, SpeedStore } from '../../contract.ts';
import { CUT_END, END } from '../../contract.ts';
import { gapsBelow, gapsOf, incarnationBehind } from '../../domain/incarnation.ts';
import { demandFloor } from '../../domain/restored.ts';
import { type HistoryPorts, isKept, type KnownKey, oldestAfterLoss, publishedKeys } from './history.ts';

/** Keys in one chunk. */
const CHUNK = 5000;

export interface AdvancePorts extends HistoryPorts {
  readonly store: SpeedStore;
  readonly cuts: () => Promise<ReadonlyMap<string, Cut>>;
  /** A value never used before: incarnations and marks. */
  readonly unique: () => string;
}

type Views = Map<number, BucketView>;
type Mint = AdvanceRequest['mint'];
type Chunk = Pick<AdvanceRequest, 'floor' | 'keys' | 'fence'>;

/** How far a lineage is folded; one that never was starts at its origin. */
export const cutOf = (cuts: ReadonlyMap<string, Cut>, lineage: Lineage): Cut =>
  cuts.get(lineage.id) ?? { segments: 0, position: lineage.origin, arrival: 0, rules: 0 };
const fencePosition = (cut: Cut): string => (cut.segments === CUT_END ? END : cut.position);
const isBehind = (view: BucketView, cut: Cut): boolean => view.fence === undefined || view.fence < fencePosition(cut);

/** Sends one chunk to one bucket and keeps the view it left. Answers false when refused. */
async function send(
  ports: AdvancePorts,
  { id: lineage, parents }: Lineage,
  bucket: number,
  views: Views,
  mint: Mint,
  chunk: Chunk,
): Promise<boolean> {
  const seen = views.get(bucket);
  if (seen === undefined) return false;
  const reply = await ports.store.advance({ bucket, lineage, seen, mint, mark: ports.unique(), parents, ...chunk });
  if (reply.ok) views.set(bucket, reply.view);
  return reply.ok;
}

/** Spreads the published keys over the buckets that need them. Answers false when a chunk was refused. */
async function loadKeys(ports: AdvancePorts, lineage: Lineage, cut: Cut, views: Views, mint: Mint): Promise<boolean> {
  const waiting = new Map<number, KnownKey[]>([...views.keys()].map((bucket) => [bucket, []]));
  const flush = async (least: number): Promise<boolean> => {
    for (const [bucket, keys] of waiting) {
      if (keys.length < least) continue;
      waiting.set(bucket, []);
      for (let at = 0; at < keys.length; at += CHUNK) {
        if (!(await send(ports, lineage, bucket, views, mint, { keys: keys.slice(at, at + CHUNK) }))) return false;
      }
    }
    return true;
  };
  const oldest = Math.min(...[...views.values()].map((view) => view.oldest ?? mint.oldest));
  for await (const page of publishedKeys(ports, lineage.id, cut, oldest)) {
    for (const key of page) {
      const kept = views.get(key.bucket)?.oldest ?? mint.oldest;
      if (isKept(key, kept, ports.epochMs)) waiting.get(key.bucket)?.push(key);
    }
    if (!(await flush(CHUNK))) return false;
  }
  return flush(1);
}

/** Answers the views of all buckets behind it, or undefined when it was refused and must be tried anew. */
export async function advance(
  ports: AdvancePorts,
  lineage: Lineage,
  healing: (buckets: number) => void,
): Promise<BucketView[] | undefined> {
  const looked = await lookBehindGaps(ports, lineage);
  if (looked === undefined) return undefined;
  const { views, cuts, gaps } = looked;
  const cut = cutOf(cuts, lineage);
  const behind: Views = new Map(views.flatMap((view, bucket) => (isBehind(view, cut) ? [[bucket, view] as const] : [])));
  if (behind.size === 0) return views;
  healing(behind.size);
  const mint = { incarnation: incarnationBehind(gaps, ports.unique()), oldest: await oldestAfterLoss(ports, cuts) };
  for (const bucket of behind.keys()) {
    if (!(await send(ports, lineage, bucket, behind, mint, { floor: cut.segments }))) return undefined;
  }
  if (!(await loadKeys(ports, lineage, cut, behind, mint))) return undefined;
  const fence = { position: fencePosition(cut), arrival: cut.arrival, rules: cut.rules };
  for (const bucket of behind.keys()) {
    if (!(await send(ports, lineage, bucket, behind, mint, { fence }))) return undefined;
  }
  // What was minted since belongs before a gap that was folded meanwhile.
  if (gapsBelow(await ports.cuts()) !== gaps) return undefined;
  return views.map((view, bucket) => behind.get(bucket) ?? view);
}

interface Looked {
  readonly views: BucketView[];
  readonly cuts: ReadonlyMap<string, Cut>;
  readonly gaps: number;
}

/** Buckets of before a gap are emptied first. Undefined where one is of behind a gap that is not folded here yet. */
async function lookBehindGaps({ store, ...ports }: AdvancePorts, lineage: Lineage): Promise<Looked | undefined> {
  const buckets = Array.from({ length: ports.buckets }, (_, bucket) => bucket);
  const found = await Promise.all(buckets.map((bucket) => store.look(bucket, lineage.id)));
  const cuts = await ports.cuts();
  for (const { floor } of found) demandFloor(lineage.id, floor, cuts);
  const gaps = gapsBelow(cuts);
  const views: BucketView[] = [];
  for (const [bucket, view] of found.entries()) {
    const { incarnation } = view;
    if (gapsOf(incarnation) > gaps) return undefined;
    const isOver = incarnation !== undefined && gapsOf(incarnation) < gaps;
    if (isOver) await store.forget(bucket, incarnation);
    views.push(isOver ? await store.look(bucket, lineage.id) : view);
  }
  return { views, cuts, gaps };
}
