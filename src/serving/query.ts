/** Queries as users ask them: a meter, a tenant or all, a range in windows; an answer with its proof. */
import type { Clock } from '../clock.ts';
import type { BatchView, Lineage, RollupQuery, RuleSets, SpeedStore, Written } from '../contract.ts';
import { type AnswerRow, combine, type GroupFilter } from '../domain/answer.ts';
import { type Meter, measures, meterId } from '../domain/meter.ts';
import { bucketsOfTenant } from '../domain/routing.ts';
import type { RuleSet } from '../domain/rules.ts';
import { MeterError } from '../errors.ts';
import type { KnownGaps } from './gaps.ts';
import { isCovered, type Merged, type Reach, reachOf, readMerged } from './merged.ts';
import { asOfMs, type Proof, proofOf, type Trouble } from './proof.ts';

export interface QueryPorts {
  readonly batch: BatchView;
  readonly speed: Pick<SpeedStore, 'read' | 'database'>;
  readonly ruleSets: Pick<RuleSets, 'newest' | 'get' | 'demand'>;
  readonly clock: Clock;
  readonly buckets: number;
  /** Known lineages; not a read of the log. */
  readonly lineages: () => readonly Pick<Lineage, 'id'>[];
  /** Gaps of the log that an answer has to name. */
  readonly gaps: Pick<KnownGaps, 'touching'>;
  /** What is wrong with a lineage, if anything: stopped. */
  readonly trouble: (lineage: string) => Trouble | undefined;
  readonly afterTimeoutMs: number;
}

export interface Question {
  readonly meter: Meter;
  readonly tenant?: string;
  /** Window edges, minutes since 1970. */
  readonly edges: readonly number[];
  /** A subset of the meter's `group_by`. */
  readonly groupBy: readonly string[];
  readonly filter: GroupFilter;
  /** Positions that the answer must include. */
  readonly after?: readonly Written[];
}

export interface Answer {
  readonly rows: readonly AnswerRow[];
  readonly proof: Proof;
}

/** Between two looks of a reader that waits for its own write, ms. */
const LOOK_AGAIN_MS = 5;

export class QueryService {
  readonly #ports: QueryPorts;
  #started = false;

  constructor(ports: QueryPorts) {
    this.#ports = ports;
  }

  /** Throws STARTING until every lineage has once had a fence in every bucket: before that, live usage would be missing. */
  async demandStarted(): Promise<void> {
    if (this.#started) return;
    const ids = this.#ports.lineages().map(({ id }) => id);
    const buckets = this.#allBuckets();
    const merged = await readMerged(this.#ports, { edges: [0, 0], fromMinute: 0, toMinute: 0 }, buckets);
    this.#started = ids.length > 0 && reachOf(merged, buckets, ids).every(isCovered);
    if (!this.#started) throw new MeterError('STARTING', 'the live counters are still being filled', { retryAfterMs: 250 });
  }

  /** An event type that is counted live, be it published or not yet. Throws SPEED_UNAVAILABLE: then nobody can tell. */
  async counts(eventType: string): Promise<boolean> {
    const states = await this.#ports.speed.read(this.#allBuckets(), { meter: `${eventType}@1` });
    return states.some(({ cells }) => cells.length > 0);
  }

  /** Throws STARTING, AFTER_TIMEOUT, OVERLOADED, DATABASE_UNAVAILABLE, UNKNOWN_METER. */
  async answer(question: Question, signal?: AbortSignal): Promise<Answer> {
    await this.demandStarted();
    const { merged, reach } = await this.#reading(question, signal);
    const rows = combine(merged.batch, merged.live, { ...question, until: Math.floor(asOfMs(reach) / 1000) });
    const gaps = await this.#ports.gaps.touching(merged.cuts, question.edges);
    const lacks = { reached: merged.states !== undefined, trouble: this.#ports.trouble, gaps };
    return { rows, proof: proofOf(reach, lacks) };
  }

  async #reading(question: Question, signal?: AbortSignal): Promise<{ merged: Merged; reach: Reach[] }> {
    const { clock, afterTimeoutMs } = this.#ports;
    const deadline = clock.now() + afterTimeoutMs;
    for (;;) {
      const found = await this.#read(question);
      const missing = missingFrom(found.reach, question.after ?? []);
      if (missing === undefined) return found;
      if (clock.now() >= deadline || signal?.aborted === true) {
        const what = `the answer does not reach ${missing.position} of ${missing.lineage} yet`;
        throw new MeterError('AFTER_TIMEOUT', what, { field: 'after', retryAfterMs: 1000 });
      }
      await clock.sleep(LOOK_AGAIN_MS, signal);
    }
  }

  async #read({ meter, tenant, edges }: Question): Promise<{ merged: Merged; reach: Reach[] }> {
    const known = this.#ports.ruleSets.newest;
    let buckets = this.#bucketsOf(tenant, known);
    const range = rangeOf(meter, edges);
    for (;;) {
      const merged = await readMerged(this.#ports, { tenant, meter: meterId(meter), ...range }, buckets);
      // Behind the reading: a lineage that it saw must be in its proof.
      const ids = this.#ports.lineages().map(({ id }) => id);
      const reach = reachOf(merged, buckets, ids);
      const rules = await this.#rulesOf(reach);
      if (rules.version > known.version) demandMeasured(meter, rules);
      // A step of spread may have come into force since this process looked last: the tenant has more buckets by now.
      const wanted = this.#bucketsOf(tenant, rules);
      if (wanted.every((bucket) => buckets.includes(bucket))) return { merged, reach };
      buckets = wanted;
    }
  }

  /** The newest rule set that anything in the answer was measured under. */
  async #rulesOf(reach: readonly Reach[]): Promise<RuleSet> {
    const { ruleSets } = this.#ports;
    const version = reach.reduce((newest, { rules }) => Math.max(newest, rules), 1);
    await ruleSets.demand(version);
    return ruleSets.get(version);
  }

  #bucketsOf(tenant: string | undefined, { spread }: RuleSet): readonly number[] {
    return tenant === undefined ? this.#allBuckets() : bucketsOfTenant(tenant, this.#ports.buckets, spread);
  }

  #allBuckets(): number[] {
    return Array.from({ length: this.#ports.buckets }, (_, bucket) => bucket);
  }
}

/** Throws UNKNOWN_METER where another process has let a version go, and usage without it is in the answer already. */
function demandMeasured(meter: Meter, { meters }: RuleSet): void {
  if (measures(meters, meter)) return;
  throw new MeterError('UNKNOWN_METER', `version ${String(meter.version)} of ${meter.key} is not measured any more`, {
    ...{ field: 'version', value: String(meter.version), allowed: 'a version of GET /v1/meters' },
  });
}

/** A gauge's readings hold: those before the range reach into it, and belong to one tenant each. */
function rangeOf({ aggregation, holdMinutes }: Meter, edges: readonly number[]): Omit<RollupQuery, 'tenant' | 'meter'> {
  const [from, to] = [edges[0] ?? 0, edges.at(-1) ?? 0];
  if (aggregation !== 'time_weighted_sum') return { edges, fromMinute: from, toMinute: to };
  const before = Math.max(0, from - holdMinutes);
  return { edges: before < from ? [before, ...edges] : edges, fromMinute: before, toMinute: to, byTenant: true };
}

/** The first write that some bucket of the answer does not reach. */
function missingFrom(reach: readonly Reach[], after: readonly Written[]): Written | undefined {
  return after.find((write) => reach.some((r) => r.lineage === write.lineage && r.position <= write.position));
}
