/** The state of one bucket of the in-process speed store, and its arithmetic. */
import type { FenceState, SpeedCell } from '../../contract.ts';
import {
  type Accumulators,
  type Cell,
  type CellKey,
  type CellSelector,
  fieldOf,
  mergeAccumulators,
} from '../../domain/cell.ts';

/** tenant -> field -> cell, within one segment of one lineage. */
type SegmentCells = Map<string, Map<string, CellKey & Accumulators>>;

export interface Bucket {
  incarnation: string | undefined;
  oldest: number | undefined;
  readonly fences: Map<string, FenceState>;
  readonly floors: Map<string, number>;
  readonly marks: Map<string, string>;
  /** epoch -> digests */
  readonly digests: Map<number, Set<string>>;
  /** lineage -> segment -> cells */
  readonly cells: Map<string, Map<number, SegmentCells>>;
}

export const emptyBucket = (): Bucket => ({
  incarnation: undefined,
  oldest: undefined,
  fences: new Map(),
  floors: new Map(),
  marks: new Map(),
  digests: new Map(),
  cells: new Map(),
});

const copyMap = <K, V>(map: ReadonlyMap<K, V>, copy: (value: V) => V): Map<K, V> =>
  new Map([...map].map(([key, value]) => [key, copy(value)]));

/** What a replica would hold: nothing in it changes with the bucket. Cells and fences are replaced, never changed. */
export const copyBucket = (bucket: Bucket): Bucket => ({
  incarnation: bucket.incarnation,
  oldest: bucket.oldest,
  fences: new Map(bucket.fences),
  floors: new Map(bucket.floors),
  marks: new Map(bucket.marks),
  digests: copyMap(bucket.digests, (digests) => new Set(digests)),
  cells: copyMap(bucket.cells, (segments) => copyMap(segments, (tenants) => copyMap(tenants, (fields) => new Map(fields)))),
});

export function knows(bucket: Bucket, digest: string): boolean {
  for (const digests of bucket.digests.values()) if (digests.has(digest)) return true;
  return false;
}

/** A digest of an epoch before `oldest` is kept with the oldest one. */
export function remember(bucket: Bucket, digest: string, epoch: number, oldest: number): void {
  const kept = Math.max(epoch, oldest);
  const digests = bucket.digests.get(kept);
  if (digests === undefined) bucket.digests.set(kept, new Set([digest]));
  else digests.add(digest);
}

function child<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

export function addToCell(bucket: Bucket, lineage: string, segment: number, cell: Cell): void {
  const segments = child(bucket.cells, lineage, () => new Map<number, SegmentCells>());
  const tenants = child(segments, segment, (): SegmentCells => new Map());
  const fields = child(tenants, cell.tenant, () => new Map<string, CellKey & Accumulators>());
  const field = fieldOf(cell);
  const known = fields.get(field);
  fields.set(field, known === undefined ? cell : { ...cell, ...mergeAccumulators(known, cell) });
}

function matches(cell: CellKey, { meter, fromMinute, toMinute }: CellSelector): boolean {
  if (meter !== undefined && cell.meter !== meter) return false;
  return (fromMinute === undefined || cell.minute >= fromMinute) && (toMinute === undefined || cell.minute < toMinute);
}

/** The cells of a bucket that match, copied: what the caller holds does not change under it. */
export function* selectCells(bucket: Bucket, select: CellSelector): Generator<SpeedCell> {
  for (const [lineage, segments] of bucket.cells) {
    for (const [segment, tenants] of segments) {
      const chosen =
        select.tenant === undefined ? tenants.values() : [tenants.get(select.tenant) ?? new Map<string, never>()];
      for (const fields of chosen) {
        for (const cell of fields.values()) if (matches(cell, select)) yield { ...cell, lineage, segment };
      }
    }
  }
}
