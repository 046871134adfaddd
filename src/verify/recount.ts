/**
 * Recounts everything from the raw archive and the log's tail, by a path of its own: nothing here knows how the sinks, the
 * publisher or the merged answer work. First copies win, in log order; sums are plain additions.
 */
import { createHash } from 'node:crypto';
import type { Archive, Catalog, Cut, Lineage, Position, Source } from '../contract.ts';
import { CUT_END, END } from '../contract.ts';
import { decodeSegment } from '../domain/avro.ts';
import { keyDigest } from '../domain/canonical.ts';
import type { UsageEvent } from '../domain/event.ts';
import { bucketOf, routingKeyOf } from '../domain/routing.ts';
import type { SegmentRow } from '../domain/segment.ts';
import { MeterError } from '../errors.ts';
import type { Decoded } from '../processors/decode.ts';
import type { Judged, Processor, LogRecord } from '../contract.ts';

export interface RecountPorts {
  readonly archive: Archive;
  readonly catalog: Pick<Catalog, 'manifest' | 'heads'>;
  readonly source: Pick<Source, 'lineages' | 'open'>;
  readonly buckets: number;
  readonly decode: Processor<LogRecord, Decoded>;
  readonly validate: Processor<Decoded, Judged>;
}

/** How far the answer that is checked reaches. */
export interface Extent {
  readonly cuts: ReadonlyMap<string, Cut>;
  /** max(cut, fence) of (bucket, lineage). */
  readonly reaches: (bucket: number, lineage: string) => Position;
}

/** A first copy. */
export interface Winner {
  readonly event: UsageEvent;
  readonly lineage: Lineage;
  readonly position: Position;
  /** Whether it lies below the cut, hence in the batch view. */
  readonly isPublished: boolean;
}

export interface Finding {
  readonly kind: 'archive';
  readonly object: string;
  readonly what: string;
}

interface Found {
  readonly event: UsageEvent;
  readonly position: Position;
}

const PAGE = 256;

async function* rowsOf({ catalog }: RecountPorts, lineage: string): AsyncGenerator<SegmentRow> {
  for (let from = 0; ;) {
    const rows = await catalog.manifest(lineage, from, PAGE);
    yield* rows;
    if (rows.length < PAGE) return;
    from = (rows.at(-1)?.segment ?? from) + 1;
  }
}

/** The `ok` events of an object, or what is wrong with it. */
async function readObject({ archive }: RecountPorts, row: SegmentRow): Promise<Found[] | Finding> {
  if (row.object === null) return [];
  const { key, sha256 } = row.object;
  const finding = (what: string): Finding => ({ kind: 'archive', object: key, what });
  try {
    const bytes = await archive.get(key);
    const found = createHash('sha256').update(bytes).digest('hex');
    if (found !== sha256) return finding(`its sha-256 is ${found}, the manifest says ${sha256}`);
    const records = decodeSegment(bytes);
    if (records.length !== row.records)
      return finding(`it holds ${records.length} records, the manifest says ${row.records}`);
    return records.flatMap(({ event, verdict, position }) =>
      verdict === 'ok' && event !== null ? [{ event, position }] : [],
    );
  } catch (error) {
    if (error instanceof MeterError && error.code.startsWith('ARCHIVE_')) return finding(error.message);
    throw error;
  }
}

/** `ok` events of the log from a position up to another. */
async function* tail(ports: RecountPorts, lineage: Lineage, from: Position, to: Position): AsyncGenerator<Found> {
  if (from >= to) return;
  await using reader = ports.source.open(lineage.id, from);
  const never = new AbortController().signal;
  for (let at = from; at < to && at !== END;) {
    const batch = await reader.next(never);
    if (batch === undefined) return;
    for (const record of batch.records) {
      if (record.position >= to) return;
      const { event, verdict } = ports.validate.process(ports.decode.process(record, lineage), lineage);
      if (verdict === 'ok' && event !== undefined) yield { event, position: record.position };
    }
    at = batch.next;
  }
}

/** Tells every first copy that the extent includes, in log order; answers what is wrong with the archive. */
export async function recount(ports: RecountPorts, extent: Extent, tell: (winner: Winner) => void): Promise<Finding[]> {
  const findings: Finding[] = [];
  const known = new Set<string>();
  const heads = new Map((await ports.catalog.heads()).map((head) => [head.lineage, head]));
  for (const lineage of await ports.source.lineages()) {
    const cut = extent.cuts.get(lineage.id)?.segments ?? 0;
    const buckets = Array.from({ length: ports.buckets }, (_, bucket) => bucket);
    const furthest = buckets.map((bucket) => extent.reaches(bucket, lineage.id)).reduce((a, b) => (a > b ? a : b));
    const count = ({ event, position }: Found, isPublished: boolean): void => {
      const bucket = bucketOf(routingKeyOf(event), ports.buckets);
      const digest = keyDigest(event.tenant, event.key);
      if (position >= extent.reaches(bucket, lineage.id) || known.has(digest)) return;
      known.add(digest);
      tell({ event, lineage, position, isPublished });
    };
    let sealedTo = heads.get(lineage.id)?.start ?? lineage.origin;
    for await (const row of rowsOf(ports, lineage.id)) {
      sealedTo = row.end;
      if (row.start >= furthest) break;
      const found = await readObject(ports, row);
      if (Array.isArray(found)) for (const one of found) count(one, cut === CUT_END || row.segment < cut);
      else findings.push(found);
    }
    for await (const one of tail(ports, lineage, sealedTo, furthest)) count(one, false);
  }
  return findings;
}
