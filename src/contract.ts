/**
 * The nouns of Meterfold and what each may be relied on for. Types and obligations only.
 * The numbered MUSTs behind these words are in docs/component-spec.md; the conformance suites name them.
 */
import type { Cell, CellSelector, Contribution } from './domain/cell.ts';
import type { UsageEvent } from './domain/event.ts';
import type { RuleSet } from './domain/rules.ts';
import type { Closed, Head, RecordedGap, SegmentRow } from './domain/segment.ts';

// ------------------------------------------------------------------------------------------------------------ the log

/**
 * A place in a lineage, printable so that string order is log order (a Kafka offset as 20 digits). `END` sorts behind
 * every position: what lies there has been read to its close.
 */
export type Position = string;
export const END: Position = 'END';

/** One ordered log: a Kafka partition, a Kinesis shard, a partition of the PostgreSQL log. */
export interface Lineage {
  /** Holds a uuid of the log, so that a re-created topic or stream is another lineage. */
  readonly id: string;
  readonly parents: readonly string[];
  /** Generations above it: 0 without parents, else one more than the deepest parent. */
  readonly depth: number;
  /** The position of the first record that this lineage ever held. */
  readonly origin: Position;
  /** Whether a record of this routing key belongs here. What does not is `MISROUTED`. */
  owns(routingKey: string): boolean;
}

/** A record that Meterfold itself writes into every lineage, never counted. */
export type Control =
  | { readonly type: 'tick' }
  | { readonly type: 'format'; readonly format: number }
  /** From here on another version of the rule set is in force: meters, tenants, spread. */
  | { readonly type: 'rules'; readonly rules: number }
  /** The first one is the end of its lineage, where the log goes on in another one. It is never part of what it closes. */
  | { readonly type: 'close' };

export interface LogRecord {
  readonly position: Position;
  /** Broker's time in ms. Not monotonic: users of it take the running maximum. */
  readonly arrival: number;
  /** The broker's partition key; null where a foreign producer set none. */
  readonly key: string | null;
  readonly value: Uint8Array;
  readonly control?: Control;
}

/**
 * What one read returned, in order. A replay may cut the same records differently. `next` is where to read next; `END`
 * says that the lineage is closed and read. The runtime refuses a batch whose `from` is not the last `next`.
 */
export interface Batch<T = LogRecord> {
  readonly lineage: string;
  readonly from: Position;
  readonly next: Position;
  readonly records: readonly T[];
}

/** Reads one lineage. One `next` at a time. */
export interface Reader extends AsyncDisposable {
  /** Asking is the only demand signal. Waits for records; `undefined` once `stop` aborts. Throws MeterError. */
  next(stop: AbortSignal): Promise<Batch | undefined>;
}

export interface Source {
  readonly name: string;
  /** All lineages, parents before children. May grow from call to call, never shrink. */
  lineages(): Promise<readonly Lineage[]>;
  open(lineage: string, from: Position): Reader;
  /** The first position behind this one that a record could have. */
  after(position: Position): Position;
  /** `first` is what retention left, `end` the position that the next record gets (`END` once closed). */
  bounds(lineage: string): Promise<{ readonly first: Position; readonly end: Position }>;
  /** Forgets records before `before`. Called only for what is published. Repeating it changes nothing. */
  trim(lineage: string, before: Position): Promise<number>;
  /** How many places lie from one position to another: at most so many records. Absent where the log cannot tell. */
  places?(from: Position, to: Position): number;
}

/**
 * Says which lineages this process reads, where several processes share a log. Where two read one for a while, fences decide.
 * `hold` is called for each that is ours, and its signal aborts when it is to be given up; another process gets it once `hold`
 * has resolved. Resolves when `stop` aborted and all is given up; throws what `hold` threw.
 */
export interface Sharing {
  share(hold: (lineage: Lineage, giveUp: AbortSignal) => Promise<void>, stop: AbortSignal): Promise<void>;
}

/** Told of each failure to share that is waited out, and whenever this process has its share. */
export interface SharingHealth {
  troubled(error: unknown): void;
  settled(): void;
}

/** How far a lineage is read, by the process that reads it. */
export interface Standing {
  readonly lineage: string;
  /** The place that is read next. */
  readonly at: Position;
  /** Places before the end that are not read yet, those of markers among them. */
  readonly lag: number;
  /** Arrival of the last record that was read, ms; undefined before the first one. */
  readonly arrival: number | undefined;
  /**
   * An open transaction begins at this place, and nothing behind it can be read until it ends. One that lasts longer than the
   * broker lets any producer keep one open hangs: its producer is gone, and an operator has to abort it.
   */
  readonly heldBack: { readonly at: Position; readonly forMs: number; readonly isHung: boolean } | undefined;
}

export interface Outgoing {
  readonly routingKey: string;
  readonly value: Uint8Array;
}
export interface Written {
  readonly lineage: string;
  readonly position: Position;
}

export interface Producer {
  /**
   * Appends each record to its home. Settles when the log has acknowledged: one outcome a record, in order. An `Error`
   * outcome means not acknowledged: it may still be in the log, and sending it again is harmless. Order holds within a key.
   */
  append(records: readonly Outgoing[]): Promise<readonly (Written | Error)[]>;
  /** Writes a control record into every open lineage. */
  control(control: Control): Promise<void>;
}

// ------------------------------------------------------------------------------------------------------- at the edge

/** An event as a processor sees it: frozen, under the names of HTTP. What comes back may be built by a spread of it. */
export interface EdgeEvent {
  readonly tenant_id: string;
  readonly event_type: string;
  /** A decimal as text: no float touches a quantity. */
  readonly quantity: string;
  readonly idempotency_key: string;
  /** ISO 8601, UTC. */
  readonly event_timestamp: string;
  readonly subject: string | null;
  readonly properties: Readonly<Record<string, unknown>>;
}

/**
 * Filter: `drop` with a code in capitals. Enrich: a changed event with the same key. Split: a list of events, whose keys are
 * distinct and start with the key of the first.
 */
export type EdgeOutcome = 'keep' | EdgeEvent | readonly EdgeEvent[] | { readonly drop: string };

/**
 * A user's step between the checks of an event and the log. The same event must always give the same outcome, because callers
 * send again what was not acknowledged. The outcome passes the checks of any event; one that throws, or answers anything
 * else, rejects that event with PROCESSOR_FAULT and touches no other.
 */
export interface EdgeProcessor {
  readonly name: string;
  /** A whole number from 1. Recorded at each start; a start with a lower one is refused. */
  readonly version: number;
  process(event: EdgeEvent): EdgeOutcome;
}

// ------------------------------------------------------------------------------------------------------ on the way

/** `ok`, `MISROUTED`, or the code of a reject. A pure function of (record, lineage, rule set). */
export type Verdict = string;

export interface Judged {
  readonly record: LogRecord;
  /** Absent where the record could not be decoded. */
  readonly event?: UsageEvent;
  readonly verdict: Verdict;
  /** Of a reject: the field at fault and what is wrong with it. */
  readonly field?: string;
  readonly reason?: string;
}

/** Where a record lies, and which version of the rule set is in force there. */
export interface At {
  readonly lineage: Lineage;
  readonly segment: number;
  readonly rules: number;
}

/** A judged record with its place: the unit that sinks are given. */
export interface Placed extends Judged {
  readonly segment: number;
  readonly rules: number;
  /** Running maximum of arrival up to and with this record, ms. */
  readonly arrival: number;
  readonly contributions: readonly Contribution[];
}

/**
 * A step that is a pure function of (record, lineage, version of the rule set): every record in comes out, in order; what
 * cannot be used carries a code. Its term gives it the records of a segment from the segment's start on, so that it may
 * count within a segment.
 */
export interface Processor<In, Out> {
  readonly name: string;
  process(record: In, at: At): Out;
}

/** Versions of the rule set, as one process knows them. */
export interface RuleSets {
  /** The version that is newest as of the last look. */
  readonly newest: RuleSet;
  /** `key@version` of the meters that answer, as of the last look; implicit meters always do. */
  readonly serving: ReadonlySet<string>;
  /** Throws RangeError for a version that this process has not demanded yet. */
  get(version: number): RuleSet;
  /** Looks what there is by now: versions, and which of them answer. */
  refresh(): Promise<void>;
  /** Makes a version known. Throws DATA_DIR_NEWER where there is none: the log says that it was in force. */
  demand(version: number): Promise<void>;
}

/** Where a sink wants to be read from: the row of a segment that starts at or before its first missing position. */
export interface Opened {
  readonly row: Head;
}

/**
 * Takes batches of one lineage, in order, one at a time. `open` begins a term; whatever the last term held in memory is
 * void. After `reopen` or an error the runtime opens all sinks again and replays from the earliest row.
 */
export interface Sink {
  readonly name: string;
  /** `undefined`: not yet (a parent is still read); the runtime asks again later. */
  open(lineage: Lineage): Promise<Opened | undefined>;
  /**
   * `ok`: the sink answers for the batch (durable, or re-read from its row after a crash). A replay, however cut, changes
   * nothing. `closed` names the segments that ended inside or right behind this batch, with the row of the next one.
   */
  write(batch: PlacedBatch): Promise<'ok' | 'reopen'>;
}

export interface PlacedBatch extends Batch<Placed> {
  /** Running maximum of arrival behind the batch, ms. */
  readonly arrival: number;
  /** Version of the rule set in force behind the batch. */
  readonly rules: number;
  readonly closed: readonly Closed[];
  /**
   * The log has let go of what lies in it, hence it has no records, and the last of `closed` says so. The sink that keeps the
   * record of segments writes it down and answers `reopen`; others answer `ok` and pass it once it is on record.
   */
  readonly isGap?: true;
}

// ------------------------------------------------------------------------------------------------------ speed store

/** One process's view of (bucket, lineage). `undefined` fields are not there: the bucket was never filled, or lost. */
export interface BucketView {
  readonly incarnation: string | undefined;
  /** Oldest epoch whose key digests are kept. */
  readonly oldest: number | undefined;
  readonly fence: Position | undefined;
  readonly floor: number;
  /** Left by the last chunk of `advance`. */
  readonly mark: string | undefined;
}

export interface SpeedRecord {
  readonly position: Position;
  /** 16 bytes, as a latin1 string. */
  readonly digest: string;
  readonly epoch: number;
  readonly segment: number;
  readonly contributions: readonly Contribution[];
}

export interface ApplyRequest {
  readonly bucket: number;
  readonly lineage: string;
  readonly incarnation: string;
  /** The fence this worker last saw for this bucket. */
  readonly prev: Position;
  readonly to: Position;
  /** Running maximum of arrival before `to`, ms. */
  readonly arrival: number;
  /** Version of the rule set in force before `to`. */
  readonly rules: number;
  readonly oldest: number;
  /** In log order; known duplicates are left out. */
  readonly records: readonly SpeedRecord[];
}

export interface AdvanceRequest {
  readonly bucket: number;
  readonly lineage: string;
  /** What the last chunk left, or what was seen before the first: another incarnation, `oldest` or mark is refused. */
  readonly seen: BucketView;
  /** For an empty bucket: what it becomes. */
  readonly mint: { readonly incarnation: string; readonly oldest: number };
  readonly mark: string;
  /** Every chunk is refused until their fences in this bucket are `END`: a child's keys may be copies of its parents'. */
  readonly parents: readonly string[];
  readonly floor?: number;
  readonly keys?: readonly { readonly digest: string; readonly epoch: number }[];
  /** The last chunk. */
  readonly fence?: FenceState;
}

export type RefusedBy = 'incarnation' | 'fence' | 'oldest' | 'mark' | 'parent';
export type Reply = { readonly ok: true; readonly view: BucketView } | { readonly ok: false; readonly refused: RefusedBy };

export interface FenceState {
  readonly position: Position;
  readonly arrival: number;
  /** Version of the rule set in force before it: cells hold the meters of it and of those before. */
  readonly rules: number;
}
export interface BucketState {
  readonly bucket: number;
  readonly incarnation: string | undefined;
  readonly fences: ReadonlyMap<string, FenceState>;
  readonly floors: ReadonlyMap<string, number>;
  readonly cells: readonly SpeedCell[];
}
export interface SpeedCell extends Cell {
  readonly lineage: string;
  readonly segment: number;
}

/**
 * The speed layer, a set of buckets. Each call on one bucket is atomic: all its checks come before its first write, and a
 * refused call changes nothing. Malformed arguments are refused by an error, with the store unchanged.
 */
export interface SpeedStore {
  readonly name: string;
  /** The incarnation of the database that its counters belong to. Undefined where they live and die with one process. */
  readonly database: string | undefined;
  look(bucket: number, lineage: string): Promise<BucketView>;
  /**
   * Refuses another incarnation or `oldest`, a fence that is missing or `< prev`. Else skips positions below the fence,
   * drops digests already seen, adds the rest to cells, and raises the fence to `to`, never back.
   */
  apply(request: ApplyRequest): Promise<Reply>;
  /** One chunk after a loss: floor first, keys, fence last. */
  advance(request: AdvanceRequest): Promise<Reply>;
  /** Deletes cells of segments below `cut` and raises the floor to it, at once. A lower cut changes nothing. */
  collect(bucket: number, lineage: string, cut: number): Promise<void>;
  /** Epochs that hold digests, ascending. */
  epochs(bucket: number): Promise<readonly number[]>;
  /**
   * Forgets digests of epochs up to `epoch` and sets `oldest` behind it, if two newer epochs hold digests and every floor
   * has reached its entry in `needed`. Answers whether it did.
   */
  dropEpoch(bucket: number, epoch: number, needed: ReadonlyMap<string, number>): Promise<boolean>;
  /** Forgets the bucket, wholly, if it has this incarnation: it is empty then. Again, or of another one, it changes nothing. */
  forget(bucket: number, incarnation: string): Promise<void>;
  /** Cells that match, with all fences and floors, each bucket at one moment. */
  read(buckets: readonly number[], select: CellSelector): Promise<readonly BucketState[]>;
  /** The latest beat of the database that anybody told of: with `beat`, that one is told of. 0 where none was. */
  told(beat?: number): Promise<number>;
  /** Throws SPEED_UNAVAILABLE where it cannot be reached. */
  check(): Promise<void>;
}

/** Which state a database is in. */
export interface DatabaseState {
  /** Another one each time that it was restored. */
  readonly incarnation: string;
  /** How often it was, as far as it knows. */
  readonly restores: number;
  /** Only grows. */
  readonly beat: number;
}

/** Makes a database known that was put back to an earlier state. */
export interface Beats {
  last(): Promise<DatabaseState>;
  /** Counts on. It is committed when this resolves. */
  next(): Promise<DatabaseState>;
  /** It was restored: another incarnation, and a beat behind every one that was told of. */
  renew(incarnation: string, told: number): Promise<DatabaseState>;
}

// ----------------------------------------------------------------------------------------------------------- archive

/** Objects that are written once. */
export interface Archive {
  readonly name: string;
  /** Durable when it resolves. `exists`: another object is there under this key and stays as it was. */
  put(key: string, bytes: Uint8Array): Promise<'stored' | 'exists'>;
  /** Throws ARCHIVE_MISSING. */
  get(key: string): Promise<Uint8Array>;
  /** Keys in byte order. */
  list(prefix: string): AsyncIterable<string>;
}

/** An object as its store shows it. */
export interface StoredObject {
  readonly key: string;
  /** By the store's clock, ms. */
  readonly storedAt: number;
  /** Another one where other bytes lie under the key. */
  readonly version: string;
}

/** What the sweep of orphans may do. Apart from Archive, so that no other role holds a deletion. */
export interface Sweepable {
  readonly name: string;
  /** In byte order of keys. */
  objects(prefix: string): AsyncIterable<StoredObject>;
  /** It is gone when this resolves with `removed`, now or before. `changed`: another one lies there, and stays. */
  remove(object: StoredObject): Promise<'removed' | 'changed'>;
}

/** A record kept whole because it could not be used. */
export interface Reject {
  readonly lineage: string;
  readonly position: Position;
  readonly code: string;
  readonly field: string | null;
  readonly reason: string;
  readonly arrival: number;
  readonly key: string | null;
  readonly tenant: string | null;
  readonly eventType: string | null;
  readonly value: Uint8Array;
}

/** Which rejects: those that match every part that is given. */
export interface RejectFilter {
  readonly code?: string;
  readonly tenant?: string;
  readonly lineage?: string;
  readonly position?: Position;
  /** Arrival from here on, ms. */
  readonly since?: number;
  /** Arrival before it, ms. */
  readonly before?: number;
}

/** A reject that goes home: which one, and by which key. */
export interface Homeward extends Pick<Reject, 'lineage' | 'position' | 'code'> {
  readonly routingKey: string;
}

/** Rejects that may be sent home once more, when what was wrong with them is mended. */
export interface Rejects {
  /**
   * Rejects that were not redriven, oldest first, up to `limit`, fewer where they are large. A KEY_CONFLICT is never among them:
   * the first copy stands. `next` is where to go on, undefined behind the last. Throws BAD_REQUEST for a malformed cursor.
   */
  waiting(
    filter: RejectFilter,
    page: { readonly limit: number; readonly cursor?: string },
  ): Promise<{ readonly rejects: readonly Reject[]; readonly next: string | undefined }>;
  /** How many rejects match that are KEY_CONFLICT. */
  conflicts(filter: RejectFilter): Promise<number>;
  /**
   * One transaction: those that are not marked yet are marked as redriven at `at`, and their records put into the outbox, byte by
   * byte and in this order. Answers how many by code: one that another call has marked is neither sent nor counted.
   */
  redrive(homeward: readonly Homeward[], at: number): Promise<ReadonlyMap<string, number>>;
}

/** A gap of the log, as operators see it. */
export interface ListedGap extends RecordedGap {
  readonly lineage: string;
  readonly segment: number;
  /** Where the log went on. */
  readonly to: Position;
  /** Running maximum of arrival before it, ms; 0 where nothing was read before. */
  readonly arrival: number;
  /** By an operator who knows what it means for bills. */
  readonly acknowledged: { readonly at: number; readonly note: string } | null;
}

/** Heads and manifest: which segments exist. An object without a manifest row does not exist. */
export interface Catalog {
  /**
   * Creates the head at the lineage's origin where there is none: what is in force at the end of its parents is in force
   * there, hence `undefined` until all of them have ended.
   */
  head(lineage: Lineage): Promise<Head | undefined>;
  heads(): Promise<readonly Head[]>;
  /** Rows of a lineage from a segment number on, in order. */
  manifest(lineage: string, from: number, limit: number): Promise<readonly SegmentRow[]>;
  /** The row whose segment holds the position; undefined behind the last one. */
  rowOf(lineage: string, position: Position): Promise<SegmentRow | undefined>;
  /** For each lineage, one more than its last segment holding an `ok` event that arrived before `arrival`. */
  segmentsBefore(arrival: number): Promise<ReadonlyMap<string, number>>;
  /**
   * One transaction: the head moves from `row.segment` to `next`, and row, rejects and misrouted records are written.
   * `lost`: the head had moved already; nothing was written.
   */
  seal(row: SegmentRow, next: Head, rejects: readonly Reject[], misrouted: readonly Outgoing[]): Promise<'sealed' | 'lost'>;
  /** Marks the lineage as closed if its head still stands at `head`. */
  end(head: Head): Promise<void>;
  /** Every gap that is on record, by lineage and segment. */
  gaps(): Promise<readonly ListedGap[]>;
  /** Notes that an operator knows of a gap. The first note stands. Answers whether there is such a gap. */
  acknowledge(
    gap: Pick<ListedGap, 'lineage' | 'from'>,
    by: { readonly at: number; readonly note: string },
  ): Promise<boolean>;
  outbox(limit: number): Promise<readonly (Outgoing & { readonly id: string })[]>;
  settle(ids: readonly string[]): Promise<void>;
}

// -------------------------------------------------------------------------------------------------------- batch view

export interface Cut {
  /** How many segments are folded; `CUT_END` once the lineage is closed and folded. */
  readonly segments: number;
  /** The position up to which that reaches. */
  readonly position: Position;
  /** Running maximum of arrival before it, ms. */
  readonly arrival: number;
  /** Newest version of the rule set that folded segments were sealed under. */
  readonly rules: number;
  /** How many gaps of the lineage lie below it; absent where none does. Of a cut that is raised: as far as its segment says. */
  readonly gaps?: number;
}
export const CUT_END = 2_147_483_647;

/** The row that won a key. */
export interface KeyRow {
  readonly tenant: string;
  readonly key: string;
  readonly lineage: string;
  readonly position: Position;
  /** Digest of the canonical content, hex. */
  readonly content: string;
}
export interface ArchivedEvent {
  readonly position: Position;
  readonly arrival: number;
  readonly event: UsageEvent;
  /** Version of the rule set in force at the record. */
  readonly rules: number;
  readonly content: string;
}
export interface HourUsage {
  readonly tenant: string;
  readonly eventType: string;
  /** Hours since 1970. */
  readonly hour: number;
  readonly total: bigint;
  readonly count: number;
}

/** The statements of one publish. Each runs on its own READ COMMITTED snapshot. publish.ts holds their order. */
export interface PublishTransaction {
  /** ON CONFLICT DO NOTHING, in key order; answers the positions that were inserted. */
  insertEvents(lineage: string, events: readonly ArchivedEvent[]): Promise<ReadonlySet<Position>>;
  /** The rows that hold these keys now. */
  holders(keys: readonly { readonly tenant: string; readonly key: string }[]): Promise<readonly KeyRow[]>;
  /** Under deterministic keys: writing them again changes nothing. */
  writePartials(lineage: string, segment: number, cells: readonly Cell[], hours: readonly HourUsage[]): Promise<void>;
  /** The `ok` events of a segment that did not count. What its first publish noted stands. */
  writeCopies(lineage: string, segment: number, positions: readonly Position[]): Promise<void>;
  /** Undefined: not noted, because the segment was published before keys could be forgotten. */
  copies(lineage: string, segment: number): Promise<ReadonlySet<Position> | undefined>;
  /** Inserts missing rollup rows as zero and locks them all, in key order: cells, then hours, then the UTC days of the hours. */
  lockRollups(cells: readonly Cell[], hours: readonly HourUsage[]): Promise<void>;
  /** In a new statement: rollups of these keys = their partials; in one more, days = their hours. Never an increment. */
  recomputeRollups(cells: readonly Cell[], hours: readonly HourUsage[]): Promise<void>;
  /** Keyed by position. */
  writeRejects(rejects: readonly Reject[]): Promise<void>;
  /** Never goes back, and its `gaps` do not. */
  raiseCut(lineage: string, cut: Cut): Promise<void>;
  /** The first `segments` segments of a lineage are filled into a meter version that began later. Never goes back. */
  raiseFilled(meter: string, lineage: string, segments: number): Promise<void>;
}

/** How far versions of meters are filled with what lies before their control records: lineage -> segments, by `key@version`. */
export type Filled = ReadonlyMap<string, ReadonlyMap<string, number>>;

export interface RollupQuery extends CellSelector {
  /** Tenants apart: a gauge's readings are those of one tenant. */
  readonly byTenant?: boolean;
  /** Window edges in minutes since 1970, ascending: window i is [edges[i], edges[i+1]). */
  readonly edges: readonly number[];
}
/** A rolled-up cell whose `minute` is the start of its window. */
export interface BatchSnapshot {
  /** Of the database, where it has one. */
  readonly incarnation?: string;
  readonly cuts: ReadonlyMap<string, Cut>;
  readonly cells: readonly Cell[];
}

/** The published view. */
export interface BatchView {
  readonly name: string;
  /** Commits when `work` resolves, rolls back when it throws. Retries nothing. */
  transaction<T>(work: (tx: PublishTransaction) => Promise<T>): Promise<T>;
  /** What a publish of these needs outside its transaction (monthly partitions). Idempotent. */
  prepare(hours: readonly Pick<HourUsage, 'hour'>[]): Promise<void>;
  cuts(): Promise<ReadonlyMap<string, Cut>>;
  filled(): Promise<Filled>;
  /** Versions of meters that answer: those of the first rule set, and those that are filled. */
  serving(): Promise<ReadonlySet<string>>;
  /** From now on this version answers. Idempotent. */
  serve(meter: string): Promise<void>;
  /** Cuts and rollups of one snapshot. */
  snapshot(query: RollupQuery): Promise<BatchSnapshot>;
  holders(keys: readonly { readonly tenant: string; readonly key: string }[]): Promise<readonly KeyRow[]>;
}

/** How far a batch view is. */
export interface Extent {
  readonly cuts: ReadonlyMap<string, Cut>;
  readonly filled: Filled;
  readonly serving: ReadonlySet<string>;
}

/** A row that one of two batch views holds otherwise, or not at all. */
export interface ViewDifference {
  readonly table: string;
  /** The columns of its key, as JSON. */
  readonly key: string;
  /** The other columns as text; null where there is no such row. */
  readonly live: string | null;
  readonly rebuilt: string | null;
}

export interface ViewComparison {
  /** Whether both views had the same cuts when this was read: only then do the differences say something. */
  readonly isLevel: boolean;
  readonly differences: readonly ViewDifference[];
  /** Where the next comparison begins; undefined behind the last tenant. */
  readonly next: string | undefined;
}

/** What is not compared, because the live view has let it go or has not got it yet. */
export interface NotCompared {
  /** `key@version` of meters that do not answer yet. */
  readonly meters: readonly string[];
  /** ms: keys of older events may be missing from the live view. */
  readonly keysBefore: number;
}

/** The statements of a flip, a method each. batch/rebuild.ts holds their order and says why. */
export interface FlipTransaction {
  /** Waits for publishes and readers under way; from here to the end of the transaction there are none. */
  lock(): Promise<void>;
  extents(): Promise<{ readonly live: Extent; readonly rebuilt: Extent }>;
  /** The rebuilt view takes the place of the live one, which is gone. */
  swap(): Promise<void>;
}

/** A second batch view, made anew from the archive beside the one that answers. There is at most one. */
export interface Rebuilds {
  /** The view that is being built: what an earlier rebuild left, or an empty one. */
  open(): Promise<BatchView>;
  /** Compares what both views hold of some tenants, those that follow `after`, in one snapshot. */
  compare(after: string | undefined, not: NotCompared): Promise<ViewComparison>;
  /** Commits when `work` resolves, rolls back when it throws. */
  flip<T>(work: (tx: FlipTransaction) => Promise<T>): Promise<T>;
  /** Whether a rebuild was begun and neither flipped nor dropped. */
  isOpen(): Promise<boolean>;
  /** Gives up what was built. Idempotent. */
  drop(): Promise<void>;
}

/**
 * What retention takes from the tables, in steps that are short transactions of their own. Repeating one changes nothing.
 * Called only for what no record that is still to come can need. Times are event times in ms.
 */
export interface Tables {
  /** Takes subject and properties from rows before this, up to `limit` a transaction. Answers how many; 0: there are no more. */
  emptyEvents(before: number, limit: number): Promise<number>;
  /** Forgets keys, with their rows. Answers as above. */
  forgetKeys(before: number, limit: number): Promise<number>;
  /** Months since 1970. */
  oldestUsageMonth(): Promise<number | undefined>;
  /** Forgets what the hours up to the end of this month were summed from. Answers as above. */
  forgetHours(month: number, limit: number): Promise<number>;
  /** Drops a month of hourly usage without stopping readers and writers of others. A step that died half way is finished. */
  dropUsageMonth(month: number): Promise<void>;
}

// ------------------------------------------------------------------------------------------------ what operators see

export interface Stock {
  readonly lineages: readonly {
    readonly lineage: string;
    /** Sealed segments that are not published. */
    readonly behind: number;
    /** Arrival that the batch view reaches, ms. */
    readonly publishedArrival: number;
  }[];
  /** How long the record that is the oldest of the outbox has been seen there, ms. */
  readonly outboxMs: number;
}

/** One method per operator-visible fact; each makes its log line and its metric together. */
export interface Facts {
  accepted(events: number): void;
  refused(code: string, events: number): void;
  /** A processor dropped events, with this code. */
  filtered(code: string, events: number): void;
  /** A processor broke what it is held to. `what` never holds what an event did. */
  processorFaulted(processor: string, what: string, error?: unknown): void;
  /** `from` or `to` undefined: it is new, or no longer used. */
  processorChanged(processor: string, from: number | undefined, to: number | undefined): void;
  /** `arrival`: running maximum behind them, ms. */
  applied(lineage: string, records: number, arrival: number): void;
  cropped(lineage: string, records: number): void;
  sealed(row: SegmentRow, seconds: number): void;
  /** The log had let go of what was not read yet: records are lost. */
  gapped(row: SegmentRow, gap: RecordedGap): void;
  /** The archive held the segment's records already, in other bytes: they stand. */
  adopted(lineage: string, segment: number): void;
  published(lineage: string, segment: number, events: number, seconds: number): void;
  rejected(code: string, records: number): void;
  /** They lay in another lineage than their home, and went into the outbox. */
  misrouted(records: number): void;
  /** A tick went into every lineage. */
  ticked(): void;
  /** How far the batch view and the outbox are behind. */
  stocked(stock: Stock): void;
  /** Rejects with this code were put into the outbox. */
  redriven(code: string, rejects: number): void;
  healing(lineage: string, buckets: number): void;
  relayed(records: number): void;
  unmetered(eventType: string, events: number): void;
  skippedMeter(meter: string, events: number): void;
  /** Usage of a group beyond the bound, counted as `other`. */
  otherGroup(meter: string, events: number): void;
  /** A meter version was filled with a segment that lies before it. */
  filled(meter: string, lineage: string, segments: number, of: number): void;
  /** A meter version answers from now on. */
  serving(meter: string): void;
  /** A rebuild of the batch view is over: flipped, differs, failed or left. */
  rebuilt(outcome: string, differences: number): void;
  /** A dependency failed and is waited for. */
  waiting(what: string, error: unknown): void;
  recovered(what: string): void;
  /** This process has no more to do with it, whether it works or not. */
  released(what: string): void;
  stopped(what: string, error: unknown): void;
}
