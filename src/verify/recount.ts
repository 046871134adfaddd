/**
 * Recounts everything from the raw archive and the log's tail, by a path of its own: nothing here knows how the sinks, the
 * publisher or the merged answer work. First copies win, in log order; sums are plain additions.
 */
import { createHash } from 'node:crypto';
import type { Archive, Catalog, Cut, Lineage, Position, Source } from '../contract.ts';
import { CUT_END, END } from '../contract.ts';
import { decodeObject } from '../domain/object.ts';
import { keyDigest } from '../domain/canonical.ts';
import type { UsageEvent } from '../domain/event.ts';
import { bucketOf, routingKeyOf } from '../domain/routing.ts';
import type { Head, SegmentRow } from '../domain/segment.ts';
import { MeterError } from '../errors.ts';
import type { Decoded } from '../processors/decode.ts';
import type { Judged, Processor, LogRecord, RuleSets } from '../contract.ts';

export interface RecountPorts {
  readonly archive: Archive;
  readonly catalog: Pick<Catalog, 'manifest' | 'heads'>;
  readonly source: Pick<Source, 'lineages' | 'open'>;
  readonly ruleSets: RuleSets;
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

/** Every sealed segment; answers the head behind the last of them, which moves while this reads. */
async function* rowsOf({ catalog }: RecountPorts, lineage: string): AsyncGenerator<SegmentRow, Head | undefined> {
  for (let next = 0; ;) {
    const head = (await catalog.heads()).find((one) => one.lineage === lineage);
    if (head === undefined || head.segment === next) return head;
    for (const row of await catalog.manifest(lineage, next, PAGE)) {
      yield row;
      next = row.segment + 1;
    }
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
    const records = await decodeObject(bytes);
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
async function* tail(
  ports: RecountPorts,
  lineage: Lineage,
  { start: from, rules: first }: Pick<Head, 'start' | 'rules'>,
  to: Position,
): AsyncGenerator<Found> {
  if (from >= to) return;
  let rules = first;
  await ports.ruleSets.demand(rules);
  await using reader = ports.source.open(lineage.id, from);
  const never = new AbortController().signal;
  for (let at = from; at < to && at !== END;) {
    const batch = await reader.next(never);
    if (batch === undefined) return;
    for (const record of batch.records) {
      if (record.position >= to) return;
      if (record.control?.type === 'rules') await ports.ruleSets.demand((rules = Math.max(rules, record.control.rules)));
      const place = { lineage, rules, segment: 0 };
      const { event, verdict } = ports.validate.process(ports.decode.process(record, place), place);
      if (verdict === 'ok' && event !== undefined) yield { event, position: record.position };
    }
    at = batch.next;
  }
}

/** Tells every first copy that the extent includes, in log order; answers what is wrong with the archive. */
export async function recount(ports: RecountPorts, extent: Extent, tell: (winner: Winner) => void): Promise<Finding[]> {
  const findings: Finding[] = [];
  const { spread } = ports.ruleSets.newest;
  const known = new Set<string>();
  for (const lineage of await ports.source.lineages()) {
    const cut = extent.cuts.get(lineage.id)?.segments ?? 0;
    const buckets = Array.from({ length: ports.buckets }, (_, bucket) => bucket);
    const furthest = buckets.map((bucket) => extent.reaches(bucket, lineage.id)).reduce((a, b) => (a > b ? a : b));
    const count = ({ event, position }: Found, isPublished: boolean): void => {
      const bucket = bucketOf(routingKeyOf(event, spread), ports.buckets);
      const digest = keyDigest(event.tenant, event.key);
      if (position >= extent.reaches(bucket, lineage.id) || known.has(digest)) return;
      known.add(digest);
      tell({ event, lineage, position, isPublished });
    };
    const rows = rowsOf(ports, lineage.id);
    let row = await rows.next();
    for (; row.done !== true && row.value.start < furthest; row = await rows.next()) {
      const found = await readObject(ports, row.value);
      if (Array.isArray(found)) for (const one of found) count(one, cut === CUT_END || row.value.segment < cut);
      else findings.push(found);
    }
    const behind = row.done === true ? (row.value ?? { start: lineage.origin, rules: 1 }) : undefined;
    if (behind === undefined) continue;
    for await (const one of tail(ports, lineage, behind, furthest)) count(one, false);
  }
  return findings;
}
