/**
 * Where segments end (rule P2): a pure function of the log, counted from the segment's start, never of a wall clock.
 * All who start at the same row count alike, because the row carries what is in force there.
 */
import type { LogRecord, Position } from '../contract.ts';

/** How the blocks of an object are compressed, by the names of the Avro specification. */
export type Codec = 'null' | 'deflate' | 'snappy' | 'zstandard';

/** A numbered archive format: limits and codec. It changes only at a control record of the log. */
export interface ArchiveFormat {
  readonly records: number;
  /** Bytes of key + value. */
  readonly bytes: number;
  /** Arrival time between the first counted record and the last, ms. */
  readonly ageMs: number;
  /** A segment in which nothing counts closes after this much arrival time, ms (one epoch). */
  readonly idleMs: number;
  /** Without one: `null`. */
  readonly codec?: Codec;
}
export type ArchiveFormats = ReadonlyMap<number, ArchiveFormat>;

/** The segment that starts at `start`, and what is in force there. The last row of a lineage is its head. */
export interface Head {
  readonly lineage: string;
  readonly segment: number;
  readonly start: Position;
  readonly format: number;
  /** Version of the rule set. */
  readonly rules: number;
  /** Running maximum of arrival before `start`, ms. */
  readonly arrival: number;
  readonly ended: boolean;
}

/** What the log had let go of before it was read. It closes its segment, of which it is the end. */
export interface Gap {
  /** Every record of the segment that lies before it was read; none from here to the segment's end. */
  readonly from: Position;
  /** Places between: at most so many records are missing. Null where the log cannot tell. */
  readonly places: number | null;
}

/** A gap on record: whoever comes later takes it from here, never from what the log holds by then. */
export interface RecordedGap extends Gap {
  /** When it was found, ms. */
  readonly at: number;
  /** Counts the gaps of its lineage, from 1. */
  readonly number: number;
}

/** A sealed segment. `object` is null where nothing counted. */
export interface SegmentRow {
  readonly lineage: string;
  readonly segment: number;
  readonly start: Position;
  readonly end: Position;
  readonly format: number;
  /** In force at `start`; records carry their own. */
  readonly rules: number;
  readonly arrival: number;
  /** Running maximum of arrival before `end`, ms. */
  readonly endArrival: number;
  readonly object: { readonly key: string; readonly sha256: string; readonly bytes: number } | null;
  readonly records: number;
  readonly ok: number;
  /** Arrival of the first and last `ok` event, ms. */
  readonly firstOk: number | null;
  readonly lastOk: number | null;
  /** The newest `event_timestamp` of an `ok` event, microseconds. Null also in rows of before it was kept. */
  readonly newest: number | null;
  /** Of a segment that was cut short. */
  readonly gap?: RecordedGap;
}

export interface Closed {
  readonly row: Head;
  readonly end: Position;
  readonly next: Head;
  readonly gap?: Gap;
}

const textBytes = (text: string | null): number => (text === null ? 0 : Buffer.byteLength(text));

/** Counts the records of one lineage into segments. Feed it every record from `row.start` on. */
export class SegmentCounter {
  readonly #formats: ArchiveFormats;
  readonly #after: (position: Position) => Position;
  #row: Head;
  #last: Position | undefined;
  #arrival: number;
  #format: number;
  #rules: number;
  /** What is in force behind a control record that closes the segment. */
  #closing: { readonly format: number; readonly rules: number } | undefined;
  #records = 0;
  #bytes = 0;
  #firstArrival = 0;

  constructor(row: Head, formats: ArchiveFormats, after: (position: Position) => Position) {
    this.#row = row;
    this.#formats = formats;
    this.#after = after;
    this.#arrival = row.arrival;
    this.#format = row.format;
    this.#rules = row.rules;
  }

  /** The running maximum of arrival. */
  get arrival(): number {
    return this.#arrival;
  }
  /** The version of the rule set that the next record would be judged by. */
  get rules(): number {
    return this.#rules;
  }
  /** The segment that the next record would join, unless it closes it first. */
  get row(): Head {
    return this.#row;
  }

  /** Places a record; `closed` is told of each segment that ends before or right behind it. Answers its segment and rules. */
  place(record: LogRecord, closed: (segment: Closed) => void): { readonly segment: number; readonly rules: number } {
    const before = this.#arrival;
    this.#arrival = Math.max(before, record.arrival);
    if (this.#isOver()) closed(this.#close(before));
    const { segment } = this.#row;
    this.#last = record.position;
    this.#count(record);
    const rules = this.#rules;
    // Full: its end is known without the next record, so that a sealer need not wait for one.
    if (this.#isFull()) closed(this.#close(this.#arrival));
    return { segment, rules };
  }

  /** The lineage has ended: what is open closes here, if it holds anything that counts. */
  end(closed: (segment: Closed) => void): void {
    if (this.#records > 0) closed(this.#close(this.#arrival));
  }

  /**
   * What lies before `to` is gone: the segment closes here, whatever it holds. Control records may be gone, too: `rules` is
   * the newest version there is, and is in force from `to` on.
   */
  gap(gap: Gap, to: Position, rules: number): Closed {
    const row = this.#row;
    this.#rules = Math.max(this.#rules, rules);
    const inForce = { format: this.#format, rules: this.#rules, arrival: this.#arrival };
    this.#begin({ lineage: row.lineage, segment: row.segment + 1, start: to, ...inForce, ended: false });
    return { row, end: to, next: this.#row, gap };
  }

  get #limits(): ArchiveFormat {
    const limits = this.#formats.get(this.#format);
    if (limits === undefined) throw new RangeError(`archive format ${String(this.#format)} is not known to this version`);
    return limits;
  }

  /** Closed by time: with something in it after `ageMs`, with nothing that counts after `idleMs`. */
  #isOver(): boolean {
    if (this.#records > 0) return this.#arrival >= this.#firstArrival + this.#limits.ageMs;
    return this.#last !== undefined && this.#arrival >= this.#row.arrival + this.#limits.idleMs;
  }

  #isFull(): boolean {
    if (this.#closing !== undefined) return true;
    return this.#records > 0 && (this.#records >= this.#limits.records || this.#bytes >= this.#limits.bytes);
  }

  #count(record: LogRecord): void {
    const { control } = record;
    if (control?.type === 'format') this.#change({ format: control.format, rules: this.#rules });
    // Announced more than once, by whoever starts: none takes an older one back.
    else if (control?.type === 'rules' && control.rules > this.#rules)
      // Closed even where nothing counts: the head row is what says how far a version has come.
      this.#closing = { format: this.#format, rules: control.rules };
    else if (control === undefined) {
      if (this.#records === 0) this.#firstArrival = this.#arrival;
      this.#records += 1;
      this.#bytes += record.value.length + textBytes(record.key);
    }
  }

  /** With records of the old kind in it the segment closes here, so that one segment has one format and one rule set. */
  #change(to: { readonly format: number; readonly rules: number }): void {
    if (this.#records > 0) this.#closing = to;
    else [this.#format, this.#rules] = [to.format, to.rules];
  }

  /** `arrival`: the running maximum behind the last record of the segment that closes. */
  #close(arrival: number): Closed {
    const row = this.#row;
    const end = this.#last === undefined ? row.start : this.#after(this.#last);
    const { format, rules } = this.#closing ?? { format: this.#format, rules: this.#rules };
    [this.#format, this.#rules] = [format, rules];
    this.#begin({ lineage: row.lineage, segment: row.segment + 1, start: end, format, rules, arrival, ended: false });
    return { row, end, next: this.#row };
  }

  #begin(row: Head): void {
    this.#row = row;
    this.#closing = undefined;
    this.#records = 0;
    this.#bytes = 0;
    this.#last = undefined;
  }
}
