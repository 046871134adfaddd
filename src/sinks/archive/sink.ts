/**
 * Seals segments: deterministic bytes, put-if-absent, then one transaction for head, manifest row, rejects and outbox. It
 * answers for a batch by the head row: what is not sealed is read again from there, so nothing in memory is ever owed.
 */
import type { Clock } from '../../clock.ts';
import type {
  Archive,
  Catalog,
  Facts,
  Lineage,
  Opened,
  Outgoing,
  Placed,
  PlacedBatch,
  Reject,
  RuleSets,
  Sink,
} from '../../contract.ts';
import { END } from '../../contract.ts';
import { type ArchiveRecord, encodeSegment } from '../../domain/avro.ts';
import { decodeObject, encodeObject } from '../../domain/object.ts';
import { routingKeyOf } from '../../domain/routing.ts';
import type { Closed, Head, RecordedGap, SegmentRow } from '../../domain/segment.ts';
import { MeterError } from '../../errors.ts';
import { segmentKey } from './keys.ts';
import { sha256 } from './segments.ts';

export interface ArchiveSinkPorts {
  readonly archive: Archive;
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly facts: Facts;
  readonly ruleSets: Pick<RuleSets, 'newest'>;
}

export class ArchiveSink implements Sink {
  readonly name = 'archive';
  readonly #ports: ArchiveSinkPorts;
  #head: Head | undefined;
  #open: Placed[] = [];

  constructor(ports: ArchiveSinkPorts) {
    this.#ports = ports;
  }

  /** Waits for its parents: what is in force at their end is in force at its start. */
  async open(lineage: Lineage): Promise<Opened | undefined> {
    this.#open = [];
    this.#head = await this.#ports.catalog.head(lineage);
    return this.#head && { row: this.#head };
  }

  async write(batch: PlacedBatch): Promise<'ok' | 'reopen'> {
    const head = this.#head;
    if (head === undefined) return 'reopen';
    if (head.ended) return batch.isGap === true ? 'reopen' : 'ok';
    for (const r of batch.records) if (r.segment >= head.segment && r.record.control === undefined) this.#open.push(r);
    for (const closed of batch.closed) {
      if (closed.row.segment < head.segment) continue;
      if (!isSame(closed.row, this.#head ?? head) || (await this.#seal(closed)) === 'lost') return 'reopen';
    }
    if (batch.isGap === true) return 'reopen';
    if (batch.next === END) await this.#ports.catalog.end(this.#head ?? head);
    return 'ok';
  }

  async #seal(closed: Closed): Promise<'sealed' | 'lost'> {
    const began = this.#ports.clock.now();
    const { segment } = closed.row;
    const placed = this.#open.filter((r) => r.segment === segment);
    this.#open = this.#open.filter((r) => r.segment > segment);
    const gap = await this.#recorded(closed);
    const object = await this.#put(closed, placed);
    const row: SegmentRow = { ...rowOf(closed), ...countsOf(placed), object, ...(gap === undefined ? {} : { gap }) };
    const rejects = placed.filter(isReject).map((r) => rejectOf(closed.row.lineage, r));
    const misrouted = placed.flatMap(misroutedOf(this.#ports.ruleSets));
    const outcome = await this.#ports.catalog.seal(row, closed.next, rejects, misrouted);
    if (outcome === 'lost') return outcome;
    this.#head = closed.next;
    this.#ports.facts.sealed(row, (this.#ports.clock.now() - began) / 1000);
    for (const { code } of rejects) this.#ports.facts.rejected(code, 1);
    if (gap !== undefined) this.#ports.facts.gapped(row, gap);
    if (misrouted.length > 0) this.#ports.facts.misrouted(misrouted.length);
    return outcome;
  }

  /** Its number is right if the head has not moved since; if it has, the seal is lost. */
  async #recorded({ row, gap }: Closed): Promise<RecordedGap | undefined> {
    if (gap === undefined) return undefined;
    const before = (await this.#ports.catalog.gaps()).filter(({ lineage }) => lineage === row.lineage);
    return { ...gap, at: this.#ports.clock.now(), number: before.length + 1 };
  }

  async #put({ row, gap }: Closed, placed: readonly Placed[]): Promise<SegmentRow['object']> {
    if (placed.length === 0) return null;
    const key = segmentKey(row, gap);
    const records = placed.map(archiveRecord);
    const bytes = await encodeObject(records, row);
    if ((await this.#ports.archive.put(key, bytes)) === 'stored') return { key, sha256: sha256(bytes), bytes: bytes.length };
    const stored = await this.#ports.archive.get(key);
    if (sha256(stored) !== sha256(bytes)) {
      demandSameRecords({ key, row }, await decodeObject(stored), records);
      this.#ports.facts.adopted(row.lineage, row.segment);
    }
    return { key, sha256: sha256(stored), bytes: stored.length };
  }
}

/** Counted on from a row of before a gap that was recorded meanwhile, the same number may mean another segment. */
const isSame = (counted: Head, head: Head): boolean =>
  counted.start === head.start && counted.format === head.format && counted.rules === head.rules;

const isReject = (r: Placed): boolean => r.verdict !== 'ok' && r.verdict !== 'MISROUTED';

type Counts = 'records' | 'ok' | 'firstOk' | 'lastOk' | 'newest';

const rowOf = ({ row, end, next }: Closed): Omit<SegmentRow, 'object' | Counts> => {
  const { lineage, segment, start, format, rules, arrival } = row;
  return { lineage, segment, start, end, format, rules, arrival, endArrival: next.arrival };
};

function countsOf(placed: readonly Placed[]): Pick<SegmentRow, Counts> {
  const ok = placed.filter((r) => r.verdict === 'ok');
  const newest = ok.reduce((most, { event }) => Math.max(most, event?.timestamp ?? 0), -1);
  return {
    records: placed.length,
    ok: ok.length,
    firstOk: ok[0]?.arrival ?? null,
    lastOk: ok.at(-1)?.arrival ?? null,
    newest: newest < 0 ? null : newest,
  };
}

const archiveRecord = ({ record, event, verdict, arrival, rules }: Placed): ArchiveRecord => ({
  position: record.position,
  arrival,
  key: record.key,
  verdict,
  rules,
  event: event ?? null,
  value: verdict === 'ok' ? null : record.value,
});

const rejectOf = (lineage: string, { record, event, verdict, arrival, field, reason }: Placed): Reject => ({
  lineage,
  position: record.position,
  code: verdict,
  field: field ?? null,
  reason: reason ?? verdict,
  arrival,
  key: record.key,
  tenant: event?.tenant ?? null,
  eventType: event?.type ?? null,
  value: record.value,
});

const misroutedOf =
  ({ newest }: Pick<RuleSets, 'newest'>) =>
  ({ verdict, event, record }: Placed): Outgoing[] =>
    verdict === 'MISROUTED' && event !== undefined
      ? [{ routingKey: routingKeyOf(event, newest.spread), value: record.value }]
      : [];

/**
 * Another encoder may have written other bytes for the same records: that object stands. Other records never do. They are
 * compared as this version would write them, so that neither the order of fields nor the class of bytes matters.
 */
function demandSameRecords(
  { key, row }: { readonly key: string; readonly row: Head },
  stored: readonly ArchiveRecord[],
  mine: readonly ArchiveRecord[],
): void {
  const written = (records: readonly ArchiveRecord[]): Buffer => Buffer.from(encodeSegment(records, row));
  if (written(stored).equals(written(mine))) return;
  const at = stored.findIndex((record, n) => !written([record]).equals(written(mine.slice(n, n + 1))));
  const where = (at < 0 ? mine[stored.length] : stored[at])?.position ?? 'its end';
  throw new MeterError(
    'ARCHIVE_CONFLICT',
    `seal ${key}: an object with other records is there, first difference at ${where}`,
  );
}
