/** The simulated world: log, stores, time, and what it remembers for the oracle. */
import { createHash } from 'node:crypto';
import type { Control, DatabaseState, Lineage, LogRecord } from '../../src/contract.ts';
import { MemorySpeedStore } from '../../src/sinks/memory/store.ts';
import type { Bucket } from '../../src/sinks/memory/bucket.ts';
import type { Head, SegmentRow } from '../../src/domain/segment.ts';
import type { ListedGap, Outgoing, Reject } from '../../src/contract.ts';
import { MeterError } from '../../src/errors.ts';
import { copyTables, Database, type Tables } from './database.ts';
import { type Chronicle, type Entry, type Fact, Oracle } from './oracle.ts';
import { below, chance, type Random } from './random.ts';
import { Scheduler } from './scheduler.ts';
import { routingKeyOf } from '../../src/domain/routing.ts';
import { type Declared, nextRules, type RuleSet } from '../../src/domain/rules.ts';
import { implicitMeters, meterId, meterSetOf } from '../../src/domain/meter.ts';
import { ruleSet } from '../support/rules.ts';
import { BUCKETS, METERS, MOST_LINEAGES, PLACES, POINTS, printed, REPLICATION_LAG, UNIT_MS } from './sizes.ts';
import { meterOf } from './meters.ts';
import { Tally } from './tally.ts';

/** How often what happens; each schedule has its own (swarm testing: Groce et al., ISSTA 2012). */
export interface Climate {
  /** Probability that a call on a port fails. */
  readonly errors: number;
  /** Probability that a dead process's request arrives nevertheless. */
  readonly arrives: number;
  readonly resend: number;
  readonly conflict: number;
  readonly garbage: number;
  readonly foreign: number;
  readonly late: number;
  readonly gaps: number;
  /** Probability that a reader asks a node that still holds what others have let go of. */
  readonly lagging: number;
  /** Event times are multiples of so many units, so that events share cells. */
  readonly grain: number;
  /** 0: for ever. */
  readonly keyRetentionMs: number;
}

export class SimLineage implements Lineage {
  readonly id: string;
  readonly parents: readonly string[];
  readonly depth: number;
  readonly origin = printed(0);
  readonly #oracle: Oracle;
  /** What retention left begins here. */
  first = printed(0);
  readonly records: LogRecord[] = [];
  /** The broker's clock is behind by this, ms: less than an epoch. */
  readonly skew: number;
  closed = false;
  tail: SimLineage | undefined;
  next = 0;

  constructor(id: string, oracle: Oracle, parents: readonly SimLineage[], skew: number) {
    this.id = id;
    this.#oracle = oracle;
    this.depth = this.chronicle.depth;
    this.parents = parents.map((parent) => parent.id);
    this.skew = skew;
  }

  /** Another one once a gap is on record. */
  get chronicle(): Chronicle {
    const found = this.#oracle.lineages.get(this.id);
    if (found === undefined) throw new Error(`no lineage ${this.id}`);
    return found;
  }

  owns(routingKey: string): boolean {
    const point = PLACES.get(routingKey)?.point ?? -1;
    return point >= this.chronicle.lo && point < this.chronicle.hi;
  }
}

export interface Message {
  readonly key: string | null;
  readonly value: Uint8Array;
  readonly fact?: Fact;
  readonly control?: Control;
}

interface Backup {
  readonly heads: ReadonlyMap<string, Head>;
  readonly manifest: ReadonlyMap<string, SegmentRow[]>;
  readonly rejects: ReadonlyMap<string, Reject>;
  readonly redriven: ReadonlySet<string>;
  readonly outbox: readonly (Outgoing & { readonly id: string })[];
  readonly state: DatabaseState;
  readonly tables: Tables;
}

export const hashOf = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('base64');

export class World {
  readonly tally = new Tally();
  readonly scheduler = new Scheduler((error) => this.#stopped(error));
  readonly oracle = new Oracle((message) => this.fail(message));
  readonly lineages: SimLineage[] = [];
  /** By the incarnation of the database whose counters they are. */
  readonly #stores = new Map<string, MemorySpeedStore>();
  /** What the speed layer was told of, whatever was restored. */
  told = 0;
  /** Of the database. */
  state: DatabaseState = { incarnation: 'first', restores: 0, beat: 0 };
  #backup: Backup | undefined;
  /** The database was put back, and no operator has said so. */
  isPutBack = false;
  /** A process has stopped because of it. */
  isNoticed = false;
  /** What a failover may bring back, oldest first. */
  readonly replicas: Bucket[][] = Array.from({ length: BUCKETS }, () => []);
  readonly objects = new Map<string, Uint8Array>();
  readonly heads = new Map<string, Head>();
  readonly manifest = new Map<string, SegmentRow[]>();
  /** On record, and what operators say of them. */
  readonly gaps: { -readonly [K in keyof ListedGap]: ListedGap[K] }[] = [];
  readonly rejects = new Map<string, Reject>();
  /** Places of rejects that were redriven. */
  redriven = new Set<string>();
  outbox: (Outgoing & { readonly id: string })[] = [];
  readonly database: Database;
  /** The batch view that is made anew. */
  rebuilt: Database | undefined;
  readonly facts = new Map<string, Fact>();
  /** Every version of the rule set. */
  readonly rules: RuleSet[] = [];
  random: Random;
  climate: Climate;
  now = 40 * UNIT_MS;
  step = -1;
  failure: string | undefined;
  #serial = 0;

  constructor(random: Random, climate: Climate) {
    this.random = random;
    this.climate = climate;
    this.oracle.keyRetentionMs = climate.keyRetentionMs;
    this.database = new Database(this);
    this.#record(ruleSet(meterSetOf([...METERS.keys()].map((key) => meterOf(key, 1)))));
    for (const meter of this.newestRules.meters.meters) this.database.serves(meterId(meter));
    this.addLineage(0, POINTS / 2, []);
    this.addLineage(POINTS / 2, POINTS, []);
  }

  /** The first failure stands. */
  fail(message: string): void {
    if (this.failure === undefined) this.scheduler.trace?.(`FAILS: ${message}`);
    this.failure ??= message;
  }

  unique(): string {
    this.#serial += 1;
    return `u${this.#serial}`;
  }

  chance(probability: number): boolean {
    return chance(this.random, probability);
  }

  below(n: number): number {
    return below(this.random, n);
  }

  get quiet(): boolean {
    return this.scheduler.quiet;
  }

  #stopped(error: Error): void {
    if (error instanceof MeterError && error.code === 'DATABASE_RESTORED' && this.isPutBack) this.isNoticed = true;
    else this.fail(error.stack ?? error.message);
  }

  // --- backups -------------------------------------------------------------------------------------------------------

  get store(): MemorySpeedStore {
    const { incarnation } = this.state;
    const found = this.#stores.get(incarnation) ?? new MemorySpeedStore(BUCKETS);
    this.#stores.set(incarnation, found);
    return found;
  }

  backUp(): void {
    const { heads, manifest, rejects, redriven, outbox, state, database } = this;
    this.#backup = {
      heads: new Map(heads),
      manifest: new Map(manifest),
      rejects: new Map(rejects),
      redriven: new Set(redriven),
      outbox: [...outbox],
      state,
      tables: copyTables(database.committed),
    };
  }

  /** The database is what it was; rules are not part of it here: an operator declares the same ones again. Answers whether it is. */
  putBack(): boolean {
    const backup = this.#backup;
    if (backup === undefined) return false;
    for (const name of ['heads', 'manifest', 'rejects'] as const) {
      const into: Map<string, unknown> = this[name];
      into.clear();
      for (const [id, row] of backup[name]) into.set(id, row);
    }
    this.redriven = new Set(backup.redriven);
    this.outbox = [...backup.outbox];
    this.state = backup.state;
    this.database.putBack(copyTables(backup.tables));
    this.isPutBack = true;
    this.tally.add('fault: database put back');
    return true;
  }

  /** As the database does it. */
  renew(incarnation: string, told: number): DatabaseState {
    const { restores, beat } = this.state;
    this.state = { incarnation, restores: restores + 1, beat: Math.max(beat, told) + 1 };
    for (const replica of this.replicas) replica.length = 0;
    [this.isPutBack, this.isNoticed] = [false, false];
    this.tally.add('event: database restored, said an operator');
    return this.state;
  }

  // --- the log -------------------------------------------------------------------------------------------------------

  lineage(id: string): SimLineage {
    const found = this.lineages.find((l) => l.id === id);
    if (found === undefined) throw new Error(`no lineage ${id}`);
    return found;
  }

  addLineage(lo: number, hi: number, parents: readonly SimLineage[], tailOf?: SimLineage): SimLineage {
    const id = tailOf === undefined ? `l${this.lineages.length}` : `${tailOf.id}~tail`;
    const depth = parents.length === 0 ? 0 : 1 + Math.max(...parents.map((parent) => parent.depth));
    this.oracle.begin(id, { depth, lo, hi, parents: parents.map((parent) => parent.id) });
    const lineage = new SimLineage(id, this.oracle, parents, [0, 0, 1, 3][this.below(4)]! * UNIT_MS);
    this.lineages.push(lineage);
    return lineage;
  }

  get open(): SimLineage[] {
    return this.lineages.filter((l) => !l.closed && l.chronicle.hi > l.chronicle.lo);
  }

  /** Lineages that take control records: what lies behind an END does, too. */
  get takers(): SimLineage[] {
    return this.lineages.filter((l) => !l.closed);
  }

  homeOf(routingKey: string): SimLineage {
    const home = this.open.find((l) => l.owns(routingKey));
    if (home === undefined) throw new Error(`${routingKey} has no home`);
    return home;
  }

  /** As a producer that knows the newest rules routes it. */
  routeOf(fact: Fact): string {
    return routingKeyOf(fact, this.newestRules.spread);
  }

  // --- rules ---------------------------------------------------------------------------------------------------------

  get newestRules(): RuleSet {
    const newest = this.rules.at(-1);
    if (newest === undefined) throw new Error('no rules');
    return newest;
  }

  /** Records what a start would, if it is new. */
  declare(declared: Declared): boolean {
    const next = nextRules(this.rules, declared, implicitMeters(), (meter) => this.database.committed.serving.has(meter));
    if (next !== undefined) this.#record(next);
    return next !== undefined;
  }

  #record(set: RuleSet): void {
    this.rules.push(set);
    this.oracle.measured.set(set.version, new Set(set.meters.meters.map(meterId)));
  }

  /** The control record of a version in a lineage. Announced again, it changes nothing. */
  announce(lineage: SimLineage, rules = this.newestRules.version): void {
    this.append(lineage, { key: null, value: new Uint8Array(), control: { type: 'rules', rules } });
  }

  /** Arrival is the broker's clock, which may go back. What is written behind an END lands in the tail. */
  append(lineage: SimLineage, { key, value, fact, control }: Message): { lineage: string; position: string } {
    if (lineage.closed) {
      this.tally.add('fault: late writer behind an END');
      lineage = lineage.tail ??= this.addLineage(0, 0, [], lineage);
    }
    if (this.chance(this.climate.gaps)) {
      this.tally.add('fault: gap in the offsets');
      lineage.next += 1 + this.below(2);
    }
    const position = printed(lineage.next);
    lineage.next += 1;
    const arrival = this.now - lineage.skew - this.below(3) * (UNIT_MS / 3);
    if (arrival < (lineage.records.at(-1)?.arrival ?? 0)) this.tally.add('fault: broker clock went back');
    lineage.records.push({ position, arrival, key, value, ...(control === undefined ? {} : { control }) });
    const what = control?.type ?? (fact === undefined ? 'garbage' : 'event');
    const format = control?.type === 'format' ? control.format : undefined;
    const announces = control?.type === 'rules' ? control.rules : undefined;
    const bytes = value.length + (key === null ? 0 : Buffer.byteLength(key));
    const entry: Entry = this.oracle.append(lineage.chronicle, { position, arrival, what, format, announces, fact, bytes });
    if (entry.verdict === 'MISROUTED') this.tally.add('fault: record in a foreign partition');
    if (entry.verdict === 'UNDECODABLE') this.tally.add('fault: garbage record');
    if (entry.verdict === 'TOO_OLD') this.tally.add('fault: event older than keys are kept');
    if (entry.verdict === 'TOO_FAR_IN_FUTURE') this.tally.add('fault: event from the future');
    return { lineage: lineage.id, position };
  }

  tick(): void {
    for (const l of this.lineages)
      if (!l.closed) this.append(l, { key: null, value: new Uint8Array(), control: { type: 'tick' } });
  }

  close(lineage: SimLineage): void {
    lineage.closed = true;
    this.oracle.close(lineage.id);
  }

  /** Retention: the log lets go of what lies before `first`, read or not. */
  trim(lineage: SimLineage, first: string): void {
    if (first <= lineage.first) return;
    lineage.first = first;
    const head = this.heads.get(lineage.id);
    const isPassed = head?.ended !== true && (head?.start ?? lineage.origin) < first;
    this.tally.add(isPassed ? 'fault: retention passed the head' : 'fault: retention behind the head');
  }

  split(lineage: SimLineage, middle: number): void {
    const { lo, hi } = lineage.chronicle;
    if (this.lineages.length >= MOST_LINEAGES || middle <= lo || middle >= hi) return;
    this.close(lineage);
    this.addLineage(lo, middle, [lineage]);
    this.addLineage(middle, hi, [lineage]);
    this.tally.add('fault: lineage split');
  }

  merge(one: SimLineage, two: SimLineage): void {
    if (this.lineages.length >= MOST_LINEAGES || one.chronicle.hi !== two.chronicle.lo) return;
    this.close(one);
    this.close(two);
    this.addLineage(one.chronicle.lo, two.chronicle.hi, [one, two]);
    this.tally.add('fault: lineages merged');
  }

  // --- the speed layer -----------------------------------------------------------------------------------------------

  /** Called before each write of a bucket. */
  replicate(bucket: number): void {
    const replica = this.replicas[bucket]!;
    replica.push(this.store.image(bucket));
    if (replica.length > REPLICATION_LAG) replica.shift();
  }

  /** A replica takes over: the last writes of the bucket are lost. */
  failover(bucket: number, at: number): void {
    const replica = this.replicas[bucket]!;
    const image = replica[at];
    if (image === undefined) return;
    this.store.restore(bucket, image);
    replica.length = at;
    this.tally.add('fault: speed store failed over, suffix lost');
  }

  wipe(bucket: number): void {
    this.store.wipe([bucket]);
    this.replicas[bucket]!.length = 0;
    this.tally.add('fault: bucket wiped');
  }

  checkBucket(bucket: number): void {
    this.oracle.bucket(bucket, this.store.image(bucket));
    this.tally.add('check: bucket cells and keys (2, 3)');
  }
}
