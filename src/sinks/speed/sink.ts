/**
 * The worker's side of the speed layer: opens a lineage behind its parents, looks old keys up in the batch view, applies
 * each bucket's share of a batch under its fence. The mark that makes a replay harmless is the fence, in the same script.
 */
import type {
  ApplyRequest,
  BatchView,
  BucketView,
  Facts,
  Lineage,
  Opened,
  Placed,
  PlacedBatch,
  Position,
  Reply,
  Sink,
  SpeedRecord,
} from '../../contract.ts';
import { CUT_END, END } from '../../contract.ts';
import { keyDigest } from '../../domain/canonical.ts';
import { epochOf, lookUpBefore } from '../../domain/epoch.ts';
import type { UsageEvent } from '../../domain/event.ts';
import { gapsBelow, gapsOf } from '../../domain/incarnation.ts';
import { demandFloor } from '../../domain/restored.ts';
import { bucketOf, routingKeyOf } from '../../domain/routing.ts';
import type { Head } from '../../domain/segment.ts';
import { MeterError } from '../../errors.ts';
import { advance, type AdvancePorts } from './advance.ts';
import { knownDuplicates } from './look-up.ts';

export interface SpeedSinkPorts extends AdvancePorts {
  readonly batch: Pick<BatchView, 'holders'>;
  readonly lineages: () => Promise<readonly Lineage[]>;
  readonly facts: Facts;
}

type OkRecord = Placed & { readonly event: UsageEvent };
const isOk = (r: Placed): r is OkRecord => r.verdict === 'ok' && r.event !== undefined;

export class SpeedSink implements Sink {
  readonly name = 'speed';
  readonly #ports: SpeedSinkPorts;
  #lineage = '';
  #views: BucketView[] = [];

  constructor(ports: SpeedSinkPorts) {
    this.#ports = ports;
  }

  async open(lineage: Lineage): Promise<Opened | undefined> {
    const all = new Map((await this.#ports.lineages()).map((l) => [l.id, l]));
    if (!(await this.#parentsAtEnd(lineage))) return undefined;
    let views: BucketView[] | undefined;
    const family = [...ancestorsOf(lineage, all), lineage];
    for (const ancestor of family) {
      views = await advance(this.#ports, ancestor, (buckets) => {
        this.#ports.facts.healing(ancestor.id, buckets);
      });
      if (views === undefined) return undefined;
    }
    const fences = (views ?? []).map((view) => view.fence);
    if (!fences.every((fence) => fence !== undefined)) return undefined;
    this.#lineage = lineage.id;
    this.#views = views ?? [];
    const least = fences.reduce((a, b) => (a < b ? a : b));
    const row = await this.#rowAt(lineage, least);
    // Behind that look: the row may lie behind a gap that was recorded a moment ago.
    return row !== undefined && (await this.#areFolded(family)) ? { row } : undefined;
  }

  /**
   * Whether these buckets are of behind every gap of the family that is on record. What follows a gap is in other segments
   * than it was counted in before: the fold of the gap takes the buckets over, not this.
   */
  async #areFolded(family: readonly Lineage[]): Promise<boolean> {
    const ids = new Set(family.map(({ id }) => id));
    const gaps = (await this.#ports.catalog.gaps()).filter(({ lineage }) => ids.has(lineage));
    if (gaps.length === 0) return true;
    const cuts = await this.#ports.cuts();
    if (this.#views.some(({ incarnation }) => gapsOf(incarnation) !== gapsBelow(cuts))) return false;
    return gaps.every(({ lineage, segment }) => segment < (cuts.get(lineage)?.segments ?? 0));
  }

  /** The head first: it may move past the position between two look-ups, but then the manifest has the row. */
  async #rowAt(lineage: Lineage, position: Position): Promise<Head | undefined> {
    const head = await this.#ports.catalog.head(lineage);
    if (head === undefined) return undefined;
    if (head.start <= position) return head;
    const row = await this.#ports.catalog.rowOf(lineage.id, position);
    if (row !== undefined) return { ...row, ended: false };
    throw new MeterError('ARCHIVE_MISSING', `open ${lineage.id} at ${position}: no manifest row holds it`);
  }

  async write(batch: PlacedBatch): Promise<'ok' | 'reopen'> {
    if (batch.isGap === true) return 'ok';
    const shares = await this.#shares(batch);
    const heartbeat = batch.next === END || batch.records.some((r) => r.record.control !== undefined);
    const buckets = this.#views.flatMap((_, bucket) => (heartbeat || shares.has(bucket) ? [bucket] : []));
    const replies = await Promise.all(buckets.map((bucket) => this.#apply(bucket, batch, shares.get(bucket) ?? [])));
    if (!replies.every((reply) => reply.ok)) return 'reopen';
    this.#ports.facts.applied(this.#lineage, batch.records.length, batch.arrival);
    return 'ok';
  }

  /** Each bucket's records that count, less those whose first copy the batch view knows. */
  async #shares(batch: PlacedBatch): Promise<Map<number, SpeedRecord[]>> {
    const { epochMs } = this.#ports;
    const counted = batch.records.filter(isOk);
    const buckets = counted.map((r) => this.#bucketOf(r));
    const bounds = this.#views.map(({ oldest = 0 }) => lookUpBefore(oldest, epochMs));
    const old = counted.filter(({ event }, n) => event.timestamp < (bounds[buckets[n] ?? 0] ?? 0));
    const known = await knownDuplicates(this.#ports.batch, this.#lineage, old);
    if (old.length > 0) await this.#demandPublished();
    const shares = new Map<number, SpeedRecord[]>();
    counted.forEach((r, n) => {
      const bucket = buckets[n] ?? 0;
      const share = shares.get(bucket) ?? [];
      if (share.length === 0) shares.set(bucket, share);
      if (!known.has(r.record.position)) share.push(speedRecord(r, epochMs));
    });
    return shares;
  }

  /** Keys whose digests were dropped lie below the floors: a database that lacks what these are of has not found them either. */
  async #demandPublished(): Promise<void> {
    const cuts = await this.#ports.cuts();
    for (const { floor } of this.#views) demandFloor(this.#lineage, floor, cuts);
  }

  #bucketOf({ event, rules }: OkRecord): number {
    return bucketOf(routingKeyOf(event, this.#ports.ruleSets.get(rules).spread), this.#ports.buckets);
  }

  async #apply(bucket: number, batch: PlacedBatch, records: readonly SpeedRecord[]): Promise<Reply> {
    const { incarnation, fence, oldest } = this.#views[bucket] ?? {};
    if (incarnation === undefined || fence === undefined || oldest === undefined) return { ok: false, refused: 'fence' };
    // A replay starts at the start of a segment, hence often below this bucket's fence: what it holds is cropped there.
    const to = batch.next > fence ? batch.next : fence;
    const { arrival, rules } = batch;
    const place = { bucket, lineage: this.#lineage, incarnation, prev: fence, to };
    const request: ApplyRequest = { ...place, arrival, rules, oldest, records };
    const reply = await this.#ports.store.apply(request);
    if (reply.ok) this.#views[bucket] = reply.view;
    return reply;
  }

  async #parentsAtEnd(lineage: Lineage): Promise<boolean> {
    if (lineage.parents.length === 0) return true;
    const cuts = await this.#ports.cuts();
    for (const parent of lineage.parents) {
      if (cuts.get(parent)?.segments === CUT_END) continue;
      for (let bucket = 0; bucket < this.#ports.buckets; bucket += 1) {
        if ((await this.#ports.store.look(bucket, parent)).fence !== END) return false;
      }
    }
    return true;
  }
}

const speedRecord = ({ event, record, segment, arrival, contributions }: OkRecord, epochMs: number): SpeedRecord => ({
  position: record.position,
  digest: keyDigest(event.tenant, event.key),
  epoch: epochOf(arrival, epochMs),
  segment,
  contributions,
});

/** Oldest first, without the lineage itself. */
function ancestorsOf(lineage: Lineage, all: ReadonlyMap<string, Lineage>): Lineage[] {
  const found = new Map<string, Lineage>();
  const visit = (l: Lineage): void => {
    for (const id of l.parents) {
      const parent = all.get(id);
      if (parent === undefined || found.has(id)) continue;
      visit(parent);
      found.set(id, parent);
    }
  };
  visit(lineage);
  return [...found.values()];
}
