/**
 * The speed store in this process: the executable form of the scripts that Redis runs. Every method does all its checks
 * before its first write and has no await in between, so each call is atomic.
 */
import type { AdvanceRequest, ApplyRequest, BucketState, BucketView, RefusedBy, Reply, SpeedStore } from '../../contract.ts';
import { END } from '../../contract.ts';
import { type CellSelector, type Contribution, foldCells } from '../../domain/cell.ts';
import { addToCell, type Bucket, copyBucket, emptyBucket, knows, remember, selectCells } from './bucket.ts';
import { checkAdvance, checkApply, checkCollect, checkDrop } from './checks.ts';

const refuse = (refused: RefusedBy): Reply => ({ ok: false, refused });

export class MemorySpeedStore implements SpeedStore {
  readonly name = 'memory';
  readonly database = undefined;
  readonly #buckets: Bucket[];
  #told = 0;

  constructor(buckets: number) {
    this.#buckets = Array.from({ length: buckets }, emptyBucket);
  }

  look(bucket: number, lineage: string): Promise<BucketView> {
    return Promise.resolve(this.#view(this.#bucket(bucket), lineage));
  }

  apply(request: ApplyRequest): Promise<Reply> {
    checkApply(request);
    const b = this.#bucket(request.bucket);
    const { lineage, oldest } = request;
    const fence = b.fences.get(lineage);
    if (b.incarnation !== request.incarnation) return Promise.resolve(refuse('incarnation'));
    if (fence === undefined || fence.position < request.prev) return Promise.resolve(refuse('fence'));
    if (b.oldest !== oldest) return Promise.resolve(refuse('oldest'));
    const added = new Map<number, Contribution[]>();
    for (const r of request.records) {
      if (r.position < fence.position || knows(b, r.digest)) continue;
      remember(b, r.digest, r.epoch, oldest);
      const segment = added.get(r.segment);
      if (segment === undefined) added.set(r.segment, [...r.contributions]);
      else segment.push(...r.contributions);
    }
    // Folded first: an event a time, a large set of members would be copied as often.
    for (const [segment, all] of added) for (const cell of foldCells(all)) addToCell(b, lineage, segment, cell);
    if (request.to > fence.position)
      b.fences.set(lineage, { position: request.to, arrival: request.arrival, rules: request.rules });
    return Promise.resolve({ ok: true, view: this.#view(b, lineage) });
  }

  advance(request: AdvanceRequest): Promise<Reply> {
    checkAdvance(request);
    const b = this.#bucket(request.bucket);
    const { lineage, seen, floor, fence, parents } = request;
    if (b.incarnation !== seen.incarnation) return Promise.resolve(refuse('incarnation'));
    if (b.oldest !== seen.oldest) return Promise.resolve(refuse('oldest'));
    if (b.marks.get(lineage) !== seen.mark) return Promise.resolve(refuse('mark'));
    if (parents.some((parent) => b.fences.get(parent)?.position !== END)) return Promise.resolve(refuse('parent'));
    b.incarnation ??= request.mint.incarnation;
    const oldest = (b.oldest ??= request.mint.oldest);
    if (floor !== undefined) b.floors.set(lineage, Math.max(b.floors.get(lineage) ?? 0, floor));
    for (const { digest, epoch } of request.keys ?? []) if (!knows(b, digest)) remember(b, digest, epoch, oldest);
    if (fence !== undefined && !((b.fences.get(lineage)?.position ?? '') >= fence.position)) {
      b.fences.set(lineage, { position: fence.position, arrival: fence.arrival, rules: fence.rules });
    }
    b.marks.set(lineage, request.mark);
    return Promise.resolve({ ok: true, view: this.#view(b, lineage) });
  }

  collect(bucket: number, lineage: string, cut: number): Promise<void> {
    checkCollect(lineage, cut);
    const b = this.#bucket(bucket);
    if ((b.floors.get(lineage) ?? 0) >= cut) return Promise.resolve();
    const segments = b.cells.get(lineage);
    for (const segment of segments?.keys() ?? []) if (segment < cut) segments?.delete(segment);
    b.floors.set(lineage, cut);
    return Promise.resolve();
  }

  epochs(bucket: number): Promise<readonly number[]> {
    return Promise.resolve([...this.#bucket(bucket).digests.keys()].sort((a, b) => a - b));
  }

  dropEpoch(bucket: number, epoch: number, needed: ReadonlyMap<string, number>): Promise<boolean> {
    checkDrop(epoch, needed);
    const b = this.#bucket(bucket);
    if (b.oldest === undefined || epoch < b.oldest) return Promise.resolve(false);
    const newer = [...b.digests].filter(([e, digests]) => e > epoch && digests.size > 0).length;
    if (newer < 2) return Promise.resolve(false);
    for (const [lineage, floor] of needed) if ((b.floors.get(lineage) ?? 0) < floor) return Promise.resolve(false);
    for (const e of b.digests.keys()) if (e <= epoch) b.digests.delete(e);
    b.oldest = epoch + 1;
    return Promise.resolve(true);
  }

  forget(bucket: number, incarnation: string): Promise<void> {
    if (this.#bucket(bucket).incarnation === incarnation) this.#buckets[bucket] = emptyBucket();
    return Promise.resolve();
  }

  read(buckets: readonly number[], select: CellSelector): Promise<readonly BucketState[]> {
    return Promise.resolve(
      buckets.map((bucket) => {
        const b = this.#bucket(bucket);
        const cells = [...selectCells(b, select)];
        return { bucket, incarnation: b.incarnation, fences: new Map(b.fences), floors: new Map(b.floors), cells };
      }),
    );
  }

  told(beat = 0): Promise<number> {
    this.#told = Math.max(this.#told, beat);
    return Promise.resolve(this.#told);
  }

  check(): Promise<void> {
    return Promise.resolve();
  }

  /** Empties buckets, as a lost Redis would: for tests and drills. */
  wipe(buckets: readonly number[] = [...this.#buckets.keys()]): void {
    for (const bucket of buckets) this.#buckets[bucket] = emptyBucket();
  }

  /** A bucket as a replica would hold it now: for tests and drills. */
  image(bucket: number): Bucket {
    return copyBucket(this.#bucket(bucket));
  }

  /** A replica takes over: the bucket is what its image was. */
  restore(bucket: number, image: Bucket): void {
    this.#bucket(bucket);
    this.#buckets[bucket] = copyBucket(image);
  }

  #bucket(bucket: number): Bucket {
    const found = this.#buckets[bucket];
    if (found === undefined) throw new RangeError(`bucket ${String(bucket)} is not one of ${String(this.#buckets.length)}`);
    return found;
  }

  #view(b: Bucket, lineage: string): BucketView {
    return {
      incarnation: b.incarnation,
      oldest: b.oldest,
      fence: b.fences.get(lineage)?.position,
      floor: b.floors.get(lineage) ?? 0,
      mark: b.marks.get(lineage),
    };
  }
}
