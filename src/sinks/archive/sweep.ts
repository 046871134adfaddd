/**
 * Removes objects that no manifest row names and none ever will. What proves that is one immutable row: segments of a lineage
 * do not overlap and its head only moves on, so an object whose start lies inside a sealed segment that names another object
 * (or none) can be claimed by nobody. Anything else stays: an object at the head or behind it may be a seal under way, and
 * after a restore of the catalog, or behind what retention has trimmed, the only copy of its records. So may one that starts
 * in a segment that a gap cut short, whose sealer died before its row. There is nothing to race with: the answer of that one row is the same at any later time.
 */
import type { Catalog, StoredObject, Sweepable } from '../../contract.ts';
import type { SegmentRow } from '../../domain/segment.ts';
import { segmentOf } from './keys.ts';
import { manifestRows } from './segments.ts';

type Manifest = Pick<Catalog, 'manifest' | 'rowOf'>;

export interface SweepOptions {
  /** Objects stored at or after this time stay, ms of the store's clock. Older than any backup that may be restored. */
  readonly before: number;
  /** `report` removes nothing. There is no default: nobody deletes by leaving a word out. */
  readonly mode: 'report' | 'remove';
}

export interface Swept {
  /** Named by a row of the manifest. */
  readonly claimed: number;
  /** At the head of their lineage or behind it, in a segment that a gap cut short, or of a lineage that is not known here. */
  readonly claimable: number;
  /** Not older than `before`. */
  readonly young: number;
  /** No object of a segment. */
  readonly foreign: number;
  readonly orphans: readonly string[];
  readonly removed: number;
}

/** Objects judged at a time: they are of one lineage, and their rows are fetched once. */
const CHUNK = 1000;

interface Candidate {
  readonly object: StoredObject;
  readonly lineage: string;
  readonly start: string;
}

type Tally = { -readonly [K in keyof Swept]: K extends 'orphans' ? string[] : Swept[K] };

/** One walk over the archive. Throws what the store or the catalog throw; walking again is harmless. */
export async function sweepOrphans(store: Sweepable, catalog: Manifest, options: SweepOptions): Promise<Swept> {
  const tally: Tally = { claimed: 0, claimable: 0, young: 0, foreign: 0, orphans: [], removed: 0 };
  let chunk: Candidate[] = [];
  const settle = async (): Promise<void> => {
    for (const orphan of await orphansOf(catalog, chunk, tally)) {
      tally.orphans.push(orphan.key);
      if (options.mode === 'remove' && (await store.remove(orphan)) === 'removed') tally.removed += 1;
    }
    chunk = [];
  };
  for await (const object of store.objects('segments/')) {
    const segment = segmentOf(object.key);
    if (segment === undefined) tally.foreign += 1;
    else if (object.storedAt >= options.before) tally.young += 1;
    else {
      if (chunk.length === CHUNK || (chunk[0]?.lineage ?? segment.lineage) !== segment.lineage) await settle();
      chunk.push({ object, ...segment });
    }
  }
  await settle();
  return tally;
}

/** The orphans among objects of one lineage; the others are counted. */
async function orphansOf(catalog: Manifest, objects: readonly Candidate[], tally: Tally): Promise<StoredObject[]> {
  const sorted = [...objects].sort((a, b) => (a.start < b.start ? -1 : 1));
  const [first, last] = [sorted[0], sorted.at(-1)];
  if (first === undefined || last === undefined) return [];
  const rows = await rowsBetween(catalog, first, last.start);
  const orphans: StoredObject[] = [];
  let n = 0;
  for (const { object, start } of sorted) {
    while (n < rows.length && (rows[n]?.end ?? '') <= start) n += 1;
    const row = rows[n];
    if (row === undefined || start < row.start) tally.claimable += 1;
    else if (row.object?.key === object.key) tally.claimed += 1;
    else if (row.gap !== undefined) tally.claimable += 1;
    else orphans.push(object);
  }
  return orphans;
}

/** The sealed segments that hold the starts from the first to the last. */
async function rowsBetween(catalog: Manifest, { lineage, start }: Candidate, last: string): Promise<SegmentRow[]> {
  const first = await catalog.rowOf(lineage, start);
  const rows: SegmentRow[] = [];
  if (first === undefined) return rows;
  for await (const row of manifestRows(catalog, lineage, first.segment)) {
    if (row.start > last) break;
    rows.push(row);
  }
  return rows;
}
