/**
 * The truth, by itself: imports nothing of src. It sees what was appended to the log and what the stores hold, and says
 * what must be. Every rule is written again from the design, section 3.
 */
import {
  behind,
  END,
  EPOCH_MS,
  EVENT_TYPE,
  FIRST_FORMAT,
  FORMATS,
  FUTURE_MS,
  type Kind,
  kindOf,
  type Limits,
  PLACES,
  printed,
  SPREAD_TENANT,
  type TenantPlace,
} from './sizes.ts';

/** A usage event as it was sent. */
export interface Fact {
  readonly tenant: string;
  readonly key: string;
  /** Microseconds. */
  readonly timestamp: number;
  /** In units of 10^-12. */
  readonly quantity: bigint;
  /** What the speed layer remembers of its key. */
  readonly digest: string;
  /** Which of its tenant's routing keys it has where the tenant is spread. */
  readonly k: number;
}

export interface Raw {
  readonly position: string;
  /** The broker's time, ms. */
  readonly arrival: number;
  readonly what: 'event' | 'tick' | 'format' | 'rules' | 'close' | 'garbage';
  readonly format?: number;
  /** Of a rules record. */
  readonly announces?: number;
  readonly fact?: Fact;
  /** Key and value. */
  readonly bytes: number;
}
export interface Entry extends Raw {
  readonly run: number;
  readonly verdict: string;
  readonly segment: number;
  /** Version of the rule set in force. */
  readonly rules: number;
}

/** A segment: what its manifest row must say. */
export interface Stretch {
  readonly segment: number;
  readonly start: string;
  readonly format: number;
  readonly rules: number;
  readonly arrival: number;
  isCutShort?: true;
  end?: string;
  endArrival?: number;
  records: number;
  ok: number;
  firstOk: number | null;
  lastOk: number | null;
}

/** What the log had let go of, as it is on record: segments end there, and nothing between counts. */
export interface Lost {
  readonly lineage: string;
  readonly segment: number;
  readonly from: string;
  readonly to: string;
  /** In force behind it. */
  readonly rules: number;
}

/** A lineage of the truth, and where its segments end. */
export class Chronicle {
  readonly id: string;
  readonly depth: number;
  readonly lo: number;
  readonly hi: number;
  readonly #keyRetentionMs: number;
  readonly entries: Entry[] = [];
  readonly stretches: Stretch[] = [];
  closed = false;
  #run = 0;
  #inForce = FIRST_FORMAT;
  #closing: { format: number; rules: number } | undefined;
  #rules: number;
  readonly #placeOf: (fact: Fact, rules: number) => TenantPlace | undefined;
  readonly #lost: Lost[];
  #goneBefore = '';
  #bytes = 0;
  #first = 0;
  #last: string | undefined;

  constructor(
    id: string,
    [depth, lo, hi, rules]: readonly [depth: number, lo: number, hi: number, rules: number],
    placeOf: (fact: Fact, rules: number) => TenantPlace | undefined,
    keyRetentionMs: number,
    lost: readonly Lost[] = [],
  ) {
    this.#keyRetentionMs = keyRetentionMs;
    this.#lost = [...lost];
    [this.id, this.depth, this.lo, this.hi, this.#rules, this.#placeOf] = [id, depth, lo, hi, rules, placeOf];
    this.#begin(printed(0), 0);
  }

  /** In force behind its last record. */
  get rules(): number {
    return this.#rules;
  }

  get open(): Stretch {
    const last = this.stretches.at(-1);
    if (last === undefined) throw new Error('a lineage without segments');
    return last;
  }

  /** Sealed, or to be sealed: all but the open one. */
  get finished(): number {
    return this.stretches.length - 1;
  }

  append(raw: Raw): Entry {
    while (raw.position >= (this.#lost[0]?.from ?? END)) this.#pass();
    if (raw.position < this.#goneBefore) {
      const place = { segment: this.open.segment - 1, rules: this.#rules };
      const entry: Entry = { ...raw, run: this.#run, verdict: 'lost', ...place };
      this.entries.push(entry);
      return entry;
    }
    const before = this.#run;
    this.#run = Math.max(before, raw.arrival);
    if (this.#isOver()) this.#end(before);
    const place = { segment: this.open.segment, rules: this.#rules };
    const entry: Entry = { ...raw, run: this.#run, verdict: this.#judge(raw), ...place };
    this.entries.push(entry);
    this.#last = raw.position;
    this.#count(entry);
    if (this.#closing !== undefined || (this.open.records > 0 && this.#isFull())) this.#end(this.#run);
    return entry;
  }

  /** Passes what is lost at its end. */
  settle(): void {
    while (this.#lost.length > 0) this.#pass();
  }

  #pass(): void {
    const lost = this.#lost.shift();
    if (lost === undefined) return;
    // Closed by time, by a record that was read then and is lost now.
    if (this.open.segment < lost.segment) this.#end(this.#run);
    const { open } = this;
    [open.end, open.endArrival, open.isCutShort] = [lost.to, this.#run, true];
    this.#rules = Math.max(this.#rules, lost.rules);
    this.#goneBefore = lost.to;
    this.#begin(lost.to, this.#run);
  }

  close(): void {
    this.settle();
    this.closed = true;
    if (this.open.records > 0) this.#end(this.#run);
  }

  /** The position behind the last record. */
  get endOfLog(): string {
    const last = this.entries.at(-1);
    return last === undefined ? printed(0) : behind(last.position);
  }

  /** Where the first `segments` segments end. */
  endOf(segments: number): string {
    return segments === 0 ? printed(0) : (this.stretches[segments - 1]?.end ?? END);
  }

  #begin(start: string, arrival: number): void {
    const segment = this.stretches.length;
    const inForce = { format: this.#inForce, rules: this.#rules };
    this.stretches.push({ segment, start, ...inForce, arrival, records: 0, ok: 0, firstOk: null, lastOk: null });
    [this.#bytes, this.#last, this.#closing] = [0, undefined, undefined];
  }

  #end(arrival: number): void {
    const { open } = this;
    open.end = this.#last === undefined ? open.start : behind(this.#last);
    open.endArrival = arrival;
    if (this.#closing !== undefined) [this.#inForce, this.#rules] = [this.#closing.format, this.#closing.rules];
    this.#begin(open.end, arrival);
  }

  get #limits(): Limits {
    const limits = FORMATS.get(this.#inForce);
    if (limits === undefined) throw new Error(`no format ${this.#inForce}`);
    return limits;
  }

  #isOver(): boolean {
    if (this.open.records > 0) return this.#run >= this.#first + this.#limits.ageMs;
    return this.#last !== undefined && this.#run >= this.open.arrival + this.#limits.idleMs;
  }

  #isFull(): boolean {
    return this.open.records >= this.#limits.records || this.#bytes >= this.#limits.bytes;
  }

  #count(entry: Entry): void {
    const { open } = this;
    if (entry.what === 'tick' || entry.what === 'close') return;
    if (entry.what === 'format') {
      const format = entry.format ?? this.#inForce;
      if (open.records > 0) this.#closing = { format, rules: this.#rules };
      else this.#inForce = format;
      return;
    }
    if (entry.what === 'rules') {
      const rules = entry.announces ?? 0;
      if (rules > this.#rules) this.#closing = { format: this.#inForce, rules };
      return;
    }
    if (open.records === 0) this.#first = entry.run;
    open.records += 1;
    this.#bytes += entry.bytes;
    if (entry.verdict !== 'ok') return;
    open.ok += 1;
    open.firstOk ??= entry.run;
    open.lastOk = entry.run;
  }

  #judge({ what, fact, arrival }: Raw): string {
    if (['tick', 'format', 'rules', 'close'].includes(what)) return 'control';
    if (fact === undefined) return 'UNDECODABLE';
    const point = this.#placeOf(fact, this.#rules)?.point ?? -1;
    if (point < this.lo || point >= this.hi) return 'MISROUTED';
    if (fact.timestamp > (arrival + FUTURE_MS) * 1000) return 'TOO_FAR_IN_FUTURE';
    const kept = this.#keyRetentionMs;
    return kept > 0 && fact.timestamp < (arrival - kept) * 1000 ? 'TOO_OLD' : 'ok';
  }
}

export interface Winner {
  readonly lineage: Chronicle;
  readonly entry: Entry;
  readonly fact: Fact;
}

export interface Sums {
  count: number;
  sum: bigint;
  min: bigint;
  max: bigint;
  latest: bigint;
  order: string;
}
const MINUTE_MICROS = 60_000_000;
export const minuteOf = (fact: Fact): number => Math.floor(fact.timestamp / MINUTE_MICROS);

export function addTo<K>(sums: Map<K, Sums>, id: K, { lineage, entry, fact }: Winner): void {
  const { quantity } = fact;
  const order = [printed(fact.timestamp), printed(lineage.depth), lineage.id, entry.position].join('|');
  const sum = sums.get(id);
  if (sum === undefined) {
    sums.set(id, { count: 1, sum: quantity, min: quantity, max: quantity, latest: quantity, order });
    return;
  }
  sum.count += 1;
  sum.sum += quantity;
  if (quantity < sum.min) sum.min = quantity;
  if (quantity > sum.max) sum.max = quantity;
  if (order > sum.order) [sum.order, sum.latest] = [order, quantity];
}

export const valueOf = (kind: Kind, s: Sums): bigint =>
  kind === 'count' ? BigInt(s.count) * 10n ** 12n : kind === 'latest' ? s.latest : s[kind];

/** What the oracle needs of a cell, wherever it lies. */
export interface SeenCell {
  readonly tenant: string;
  readonly meter: string;
  readonly minute: number;
  readonly count: number;
  readonly sum: bigint;
  readonly min: bigint | undefined;
  readonly max: bigint | undefined;
  readonly latest: { readonly value: bigint } | undefined;
}
/** What the oracle needs of a bucket. */
export interface SeenBucket {
  readonly incarnation: string | undefined;
  readonly fences: ReadonlyMap<string, { readonly position: string; readonly rules: number }>;
  readonly floors: ReadonlyMap<string, number>;
  readonly digests: ReadonlyMap<number, ReadonlySet<string>>;
  readonly cells: ReadonlyMap<string, ReadonlyMap<number, ReadonlyMap<string, ReadonlyMap<string, SeenCell>>>>;
}
export interface SeenCut {
  readonly rules: number;
  readonly gaps?: number;
  readonly segments: number;
  readonly position: string;
}
export interface SeenRow {
  readonly segment: number;
  readonly start: string;
  readonly end: string;
  readonly format: number;
  readonly rules: number;
  readonly arrival: number;
  readonly endArrival: number;
  readonly records: number;
  readonly ok: number;
  readonly firstOk: number | null;
  readonly lastOk: number | null;
  readonly gap?: { readonly from: string; readonly number: number };
}
/** What is known of a segment beside its row. */
export interface SeenSeal {
  /** In force behind it. */
  readonly rules: number;
  /** What the log holds begins here. */
  readonly first: string;
}
export interface SeenReach {
  readonly bucket: number;
  readonly lineage: string;
  readonly position: string;
}
export interface Asked {
  /** `key@version` */
  readonly meter: string;
  readonly tenant?: string;
  readonly edges: readonly number[];
}
export interface SeenAnswerRow {
  readonly start: number;
  readonly end: number;
  readonly count: number;
  readonly value: string;
}

/** What is true where certain gaps are folded, and no others. */
interface Truth {
  readonly lineages: ReadonlyMap<string, Chronicle>;
  readonly winners: ReadonlyMap<string, Winner>;
}

interface Born {
  readonly depth: number;
  readonly lo: number;
  readonly hi: number;
  readonly parents: readonly string[];
}
/** Everything that happened to the log, in order: the truth is made from it anew for any set of gaps. */
type Event = { readonly id: string } & ({ readonly born: Born } | { readonly raw: Raw } | { readonly closed: true });

const keyOf = (fact: Fact): string => `${fact.tenant}\0${fact.key}`;

export class Oracle {
  /** As of all gaps that are on record. */
  lineages = new Map<string, Chronicle>();
  winners = new Map<string, Winner>();
  readonly #events: Event[] = [];
  /** Gaps on record, and those that the batch view has folded, in that order. */
  readonly #lost: Lost[] = [];
  readonly #folded: Lost[] = [];
  readonly #truths = new Map<string, { readonly events: number; readonly truth: Truth }>();
  /** Every event that the log ever took, by its key. */
  readonly sent = new Map<string, Fact>();
  /** Which meters each version of the rule set measures: `key@version`. */
  readonly measured = new Map<number, ReadonlySet<string>>();
  /** From this event time on a tenant is spread, microseconds, for who knows these rules. */
  spreadFrom: number | undefined;
  spreadRules = 1;
  keyRetentionMs = 0;
  readonly #objects = new Map<string, string>();
  readonly #fail: (message: string) => void;

  constructor(fail: (message: string) => void) {
    this.#fail = fail;
  }

  // --- gaps ----------------------------------------------------------------------------------------------------------

  begin(id: string, born: Born): void {
    this.#events.push({ id, born });
    this.lineages.set(id, this.#chronicle(id, born, this.lineages, this.#lost));
  }

  close(id: string): void {
    this.#events.push({ id, closed: true });
    this.lineages.get(id)?.close();
  }

  #chronicle(id: string, born: Born, lineages: ReadonlyMap<string, Chronicle>, lost: readonly Lost[]): Chronicle {
    const rules = Math.max(1, ...born.parents.map((parent) => lineages.get(parent)?.rules ?? 1));
    const own = lost.filter(({ lineage }) => lineage === id);
    return new Chronicle(id, [born.depth, born.lo, born.hi, rules], this.placeOf, this.keyRetentionMs, own);
  }

  /** All that happened once more, with these gaps. */
  #made(lost: readonly Lost[]): { lineages: Map<string, Chronicle>; winners: Map<string, Winner> } {
    const lineages = new Map<string, Chronicle>();
    const winners = new Map<string, Winner>();
    for (const event of this.#events) {
      if ('born' in event) lineages.set(event.id, this.#chronicle(event.id, event.born, lineages, lost));
      const lineage = lineages.get(event.id);
      if (lineage === undefined) throw new Error(`no lineage ${event.id}`);
      if ('closed' in event) lineage.close();
      if ('raw' in event) this.#enter(winners, lineage, lineage.append(event.raw));
    }
    for (const lineage of lineages.values()) lineage.settle();
    return { lineages, winners };
  }

  #enter(winners: Map<string, Winner>, lineage: Chronicle, entry: Entry): void {
    const { fact, verdict } = entry;
    if (fact !== undefined && verdict === 'ok' && !winners.has(keyOf(fact)))
      winners.set(keyOf(fact), { lineage, entry, fact });
  }

  #truth(lost: readonly Lost[]): Truth {
    if (lost.length === this.#lost.length) return this;
    const name = lost.map(({ lineage, from }) => `${lineage} ${from}`).join();
    const found = this.#truths.get(name);
    if (found?.events === this.#events.length) return found.truth;
    const truth = this.#made(lost);
    this.#truths.set(name, { events: this.#events.length, truth });
    return truth;
  }

  /** What is true for who has folded up to these cuts. */
  below(cuts: ReadonlyMap<string, SeenCut>): Truth {
    return this.#truth(this.#lost.filter(({ lineage, segment }) => segment < (cuts.get(lineage)?.segments ?? 0)));
  }

  /** What is true for a bucket: the gaps that were folded when it was minted. */
  #behind(incarnation: string | undefined): Truth {
    const folded = this.#folded.slice(0, Number(/^gaps-(\d+)\./.exec(incarnation ?? '')?.[1] ?? 0));
    return this.#truth(this.#lost.filter((one) => folded.includes(one)));
  }

  /** The log had let go of what a row says that it had; what was lost is the truth from here on. */
  #gapped(lineage: string, row: SeenRow, from: string, { rules, first }: SeenSeal): void {
    const chronicle = this.lineages.get(lineage);
    const announced = (chronicle?.entries ?? []).filter((e) => e.position >= from && e.position < row.end);
    const least = Math.max(0, ...announced.map((e) => e.announces ?? 0));
    if (row.end > first) this.#fail(`gap: ${lineage} has one up to ${row.end}, the log holds what is from ${first} on`);
    if (from < row.start || from >= row.end)
      this.#fail(`gap: ${lineage} has one from ${from} in ${row.start} to ${row.end}`);
    if (rules < least) this.#fail(`gap: ${lineage} goes on under rules ${rules}, lost were ${least}`);
    this.#lost.push({ lineage, segment: row.segment, from, to: row.end, rules });
    ({ lineages: this.lineages, winners: this.winners } = this.#made(this.#lost));
  }

  /** Where an event belongs, by rule P1. */
  placeOf = (fact: Fact, rules = Number.MAX_SAFE_INTEGER): TenantPlace | undefined => {
    const isDeclared = this.spreadFrom !== undefined && rules >= this.spreadRules;
    const isSpread = fact.tenant === SPREAD_TENANT && isDeclared && fact.timestamp >= (this.spreadFrom ?? 0);
    return PLACES.get(isSpread ? `${fact.tenant}#${fact.k}` : fact.tenant);
  };

  #measures(rules: number, meter: string): boolean {
    return this.measured.get(rules)?.has(meter) === true;
  }

  append(lineage: Chronicle, raw: Raw): Entry {
    this.#events.push({ id: lineage.id, raw });
    const entry = lineage.append(raw);
    const { fact } = entry;
    if (fact !== undefined) this.sent.set(keyOf(fact), this.sent.get(keyOf(fact)) ?? fact);
    this.#enter(this.winners, lineage, entry);
    return entry;
  }

  /** Invariant 6. Answers whether the object was put before. */
  put(key: string, hash: string): boolean {
    const before = this.#objects.get(key);
    this.#objects.set(key, hash);
    if (before !== undefined && before !== hash) this.#fail(`invariant 6: other bytes for ${key}`);
    return before !== undefined;
  }

  /** P2: a manifest row is a function of the log. */
  sealed(lineage: string, row: SeenRow, seal: SeenSeal): void {
    if (row.gap !== undefined) this.#gapped(lineage, row, row.gap.from, seal);
    const stretch = this.lineages.get(lineage)?.stretches[row.segment];
    const { segment, start, end, format, rules, arrival, endArrival, records, ok, firstOk, lastOk } = row;
    const seen = JSON.stringify({ segment, start, format, rules, arrival, end, endArrival, records, ok, firstOk, lastOk });
    const wanted = JSON.stringify(
      stretch && {
        ...{ segment: stretch.segment, start: stretch.start, format: stretch.format },
        ...{ rules: stretch.rules, arrival: stretch.arrival },
        ...{ end: stretch.end, endArrival: stretch.endArrival, records: stretch.records, ok: stretch.ok },
        ...{ firstOk: stretch.firstOk, lastOk: stretch.lastOk },
      },
    );
    const isCutShort = stretch?.isCutShort === true;
    if (isCutShort !== (row.gap !== undefined))
      this.#fail(`segments: ${lineage} at ${row.start} is not cut short as it says`);
    if (seen !== wanted) this.#fail(`segments: ${lineage} was sealed with ${seen}, the log says ${wanted}`);
  }

  /** Invariant 4: rollups and hours = winners below the cut. */
  committed(
    cuts: ReadonlyMap<string, SeenCut>,
    rollups: Iterable<SeenCell>,
    hours: ReadonlyMap<string, bigint>,
    filled: ReadonlyMap<string, number>,
    isLive: boolean,
  ): void {
    const isFolded = ({ lineage, segment }: Lost): boolean => segment < (cuts.get(lineage)?.segments ?? 0);
    if (isLive) this.#folded.push(...this.#lost.filter((one) => isFolded(one) && !this.#folded.includes(one)));
    const truth = this.below(cuts);
    const sums = new Map<string, Sums>();
    const byHour = new Map<string, bigint>();
    for (const [id, cut] of cuts) this.#checkCut(truth, id, cut);
    for (const winner of truth.winners.values()) {
      const { lineage, entry, fact } = winner;
      if (entry.segment >= (cuts.get(lineage.id)?.segments ?? 0)) continue;
      for (const meter of this.#everyMeter) {
        const isFilled = entry.segment < (filled.get(`${meter}|${lineage.id}`) ?? 0);
        if (isFilled || this.#measures(entry.rules, meter)) addTo(sums, `${meter}|${fact.tenant}|${minuteOf(fact)}`, winner);
      }
      const hour = `${fact.tenant}|${EVENT_TYPE}|${Math.floor(minuteOf(fact) / 60)}`;
      byHour.set(hour, (byHour.get(hour) ?? 0n) + fact.quantity);
    }
    this.#compareCells('invariant 4: rollup', sums, rollups, ({ meter, tenant, minute }) => `${meter}|${tenant}|${minute}`);
    for (const [id, total] of hours) {
      if ((byHour.get(id) ?? 0n) !== total)
        this.#fail(`invariant 4: hour ${id} is ${total}, winners give ${byHour.get(id)}`);
    }
    if ([...byHour.keys()].some((id) => !hours.has(id))) this.#fail('invariant 4: an hour is missing');
  }

  get #everyMeter(): ReadonlySet<string> {
    return new Set([...this.measured.values()].flatMap((meters) => [...meters]));
  }

  #checkCut({ lineages }: Truth, id: string, { segments, position, rules, gaps = 0 }: SeenCut): void {
    const lineage = lineages.get(id);
    if (lineage === undefined) {
      this.#fail(`cut: ${id} is no lineage`);
      return;
    }
    const wanted = segments > lineage.stretches.length ? END : lineage.endOf(segments);
    const newest = Math.max(
      0,
      ...lineage.entries.filter((e) => e.verdict === 'ok' && e.segment < segments).map((e) => e.rules),
    );
    const cutShort = lineage.stretches.filter((s) => s.isCutShort === true && s.segment < segments).length;
    if (gaps !== cutShort) this.#fail(`cut: ${id} at ${segments} says ${gaps} gaps, it has ${cutShort}`);
    if (rules < newest) this.#fail(`cut: ${id} at ${segments} says rules ${rules}, folded are ${newest}`);
    if (position !== wanted) this.#fail(`cut: ${id} at ${segments} says ${position}, the log ${wanted}`);
  }

  #compareCells(
    what: string,
    sums: ReadonlyMap<string, Sums>,
    cells: Iterable<SeenCell>,
    idOf: (cell: SeenCell) => string,
  ): void {
    let seen = 0;
    for (const cell of cells) {
      if (cell.count === 0) continue;
      const id = idOf(cell);
      const kind = kindOf(cell.meter);
      const wanted = sums.get(id);
      seen += 1;
      if (kind === undefined || wanted === undefined) {
        this.#fail(`${what} ${cell.meter} ${id} has ${cell.count} events, winners give none`);
        continue;
      }
      const value = kind === 'latest' ? cell.latest?.value : kind === 'count' ? BigInt(cell.count) * 10n ** 12n : cell[kind];
      if (cell.count !== wanted.count || value !== valueOf(kind, wanted))
        this.#fail(
          `${what} ${cell.meter} ${id} is ${cell.count} events, ${value}; winners give ${wanted.count}, ${valueOf(kind, wanted)}`,
        );
    }
    if (seen !== sums.size) this.#fail(`${what}: ${seen} cells, winners give ${sums.size}`);
  }

  /** Invariants 2 and 3, on one bucket. */
  bucket(b: number, s: SeenBucket): void {
    const sums = new Map<string, Sums>();
    const known = new Set([...s.digests.values()].flatMap((digests) => [...digests]));
    for (const winner of this.#behind(s.incarnation).winners.values()) {
      const { lineage, entry, fact } = winner;
      if (this.placeOf(fact)?.bucket !== b) continue;
      const isApplied = entry.position < (s.fences.get(lineage.id)?.position ?? '');
      if (!isApplied && !known.has(fact.digest)) continue;
      if (entry.segment < (s.floors.get(lineage.id) ?? 0)) continue;
      if (!isApplied) this.#fail(`invariant 3: bucket ${b} knows key ${fact.key}, neither applied nor below the floor`);
      else {
        if ((s.fences.get(lineage.id)?.rules ?? 0) < entry.rules)
          this.#fail(`fence: ${lineage.id} in bucket ${b} says older rules than ${entry.rules}`);
        for (const meter of this.measured.get(entry.rules) ?? [])
          addTo(sums, `${lineage.id}#${entry.segment}|${meter}|${fact.tenant}|${minuteOf(fact)}`, winner);
      }
    }
    const prefix = new Map<SeenCell, string>();
    for (const [lineage, segments] of s.cells) {
      for (const [segment, tenants] of segments) {
        if (segment < (s.floors.get(lineage) ?? 0)) continue;
        for (const fields of tenants.values()) for (const cell of fields.values()) prefix.set(cell, `${lineage}#${segment}`);
      }
    }
    const idOf = (cell: SeenCell): string => `${prefix.get(cell)}|${cell.meter}|${cell.tenant}|${cell.minute}`;
    this.#compareCells(`invariant 2: bucket ${b}, cell`, sums, prefix.keys(), idOf);
  }

  /** Invariants 5 and 7: an answer equals the truth at the positions that its proof names. */
  answer(
    what: string,
    { meter, tenant, edges }: Asked,
    rows: readonly SeenAnswerRow[],
    { reaches, truth }: { readonly reaches: readonly SeenReach[]; readonly truth: Truth },
  ): void {
    const kind = kindOf(meter);
    if (kind === undefined) throw new Error(`no meter ${meter}`);
    const reach = new Map(reaches.map((r) => [`${r.bucket} ${r.lineage}`, r.position]));
    const sums = new Map<number, Sums>();
    for (const winner of truth.winners.values()) {
      const { lineage, entry, fact } = winner;
      if (tenant !== undefined && fact.tenant !== tenant) continue;
      if (entry.position >= (reach.get(`${this.placeOf(fact)?.bucket ?? -1} ${lineage.id}`) ?? '')) continue;
      const window = edges.findLastIndex((edge) => edge <= minuteOf(fact));
      if (window >= 0 && window < edges.length - 1) addTo(sums, window, winner);
    }
    const wanted = [...sums]
      .sort(([a], [b]) => a - b)
      .map(([w, s]) => `${edges[w]}: ${s.count} ${valueOf(kind, s) / 10n ** 12n}`);
    const seen = rows.map(({ start, count, value }) => `${start}: ${count} ${value}`);
    if (seen.join() !== wanted.join())
      this.#fail(`${what}: ${meter} of ${tenant ?? 'all'} answers [${seen.join()}], the truth is [${wanted.join()}]`);
  }

  /** All that arrived before `asOf` is below the reach, also in buckets that the answer did not ask. */
  asOf(asOf: number, tenant: string | undefined, reaches: readonly SeenReach[], truth: Truth): void {
    const reach = new Map(reaches.map((r) => [`${r.bucket} ${r.lineage}`, r.position]));
    for (const { lineage, entry, fact } of truth.winners.values()) {
      if (entry.run >= asOf || (tenant !== undefined && fact.tenant !== tenant)) continue;
      const below = reach.get(`${this.placeOf(fact)?.bucket ?? -1} ${lineage.id}`) ?? '';
      if (entry.position >= below)
        this.#fail(
          `as_of: ${entry.position} of ${lineage.id} arrived at ${entry.run}, before ${asOf}, and is not in the answer`,
        );
    }
  }

  /** Where every lineage ends, for every bucket. */
  everything(buckets: number): SeenReach[] {
    return Array.from({ length: buckets }, (_, bucket) =>
      [...this.lineages.keys()].map((lineage) => ({ bucket, lineage, position: END })),
    ).flat();
  }

  /** Each event that the log took counts, unless every copy of it came from the future or too late, or one may be lost. */
  nothingForgotten(): void {
    const refused = new Set<string>();
    for (const { entries } of this.lineages.values()) {
      for (const { verdict, fact } of entries)
        if (verdict.startsWith('TOO_') || verdict === 'lost') refused.add(`${fact?.tenant}\0${fact?.key}`);
    }
    for (const [id, fact] of this.sent)
      if (!this.winners.has(id) && !refused.has(id))
        this.#fail(`liveness: key ${fact.key} of ${fact.tenant} never came home`);
  }

  /** Rejects that must be on record: position -> code. */
  rejects(): Map<string, string> {
    const found = new Map<string, string>();
    for (const lineage of this.lineages.values()) {
      for (const entry of lineage.entries) {
        if (entry.segment >= lineage.finished) continue;
        const code = this.#rejectOf(lineage, entry);
        if (code !== undefined) found.set(`${lineage.id} ${entry.position}`, code);
      }
    }
    return found;
  }

  #rejectOf(lineage: Chronicle, { verdict, fact, position }: Entry): string | undefined {
    if (verdict !== 'ok') return ['control', 'MISROUTED', 'lost'].includes(verdict) ? undefined : verdict;
    const winner = this.winners.get(`${fact?.tenant}\0${fact?.key}`);
    if (winner === undefined || (winner.lineage === lineage && winner.entry.position === position)) return undefined;
    return winner.fact.quantity === fact?.quantity ? undefined : 'KEY_CONFLICT';
  }

  /** Records that no answer has any more. */
  get lost(): number {
    const entries = [...this.lineages.values()].flatMap((lineage) => lineage.entries);
    return entries.filter(({ verdict }) => verdict === 'lost').length;
  }

  /** Whether an `ok` event is still in an open segment. */
  get isUnsealed(): boolean {
    return [...this.lineages.values()].some(({ open }) => open.ok > 0);
  }

  /** The arrival epoch of the first copy of a key. */
  ageOf(fact: Fact, now: number): number {
    const first = this.winners.get(`${fact.tenant}\0${fact.key}`);
    return first === undefined ? 0 : Math.floor(now / EPOCH_MS) - Math.floor(first.entry.run / EPOCH_MS);
  }
}
