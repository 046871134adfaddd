/** Queries as users ask them: a meter, a tenant or all, a range in windows; an answer with its proof. */
import type { Clock } from '../clock.ts';
import type { BatchView, Lineage, SpeedStore, Written } from '../contract.ts';
import { type AnswerRow, combine, type GroupFilter } from '../domain/answer.ts';
import { type Meter, meterId } from '../domain/meter.ts';
import { bucketsOfTenant } from '../domain/routing.ts';
import { MeterError } from '../errors.ts';
import { isCovered, type Merged, type Reach, reachOf, readMerged } from './merged.ts';
import { type Proof, proofOf, type Trouble } from './proof.ts';

export interface QueryPorts {
  readonly batch: BatchView;
  readonly speed: SpeedStore;
  readonly clock: Clock;
  readonly buckets: number;
  /** Known lineages; not a read of the log. */
  readonly lineages: () => readonly Pick<Lineage, 'id'>[];
  /** What is wrong with a lineage, if anything: a gap, or stopped. */
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

  /** Throws STARTING, AFTER_TIMEOUT, OVERLOADED, DATABASE_UNAVAILABLE. */
  async answer(question: Question, signal?: AbortSignal): Promise<Answer> {
    await this.demandStarted();
    const { merged, reach } = await this.#reading(question, signal);
    const rows = combine(merged.batch, merged.live, question);
    return { rows, proof: proofOf(reach, merged.states !== undefined, this.#ports.trouble) };
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
    const buckets = tenant === undefined ? this.#allBuckets() : bucketsOfTenant(tenant, this.#ports.buckets);
    const range = { edges, fromMinute: edges[0] ?? 0, toMinute: edges.at(-1) ?? 0 };
    const merged = await readMerged(this.#ports, { tenant, meter: meterId(meter), ...range }, buckets);
    const ids = this.#ports.lineages().map(({ id }) => id);
    return { merged, reach: reachOf(merged, buckets, ids) };
  }

  #allBuckets(): number[] {
    return Array.from({ length: this.#ports.buckets }, (_, bucket) => bucket);
  }
}

/** The first write that some bucket of the answer does not reach. */
function missingFrom(reach: readonly Reach[], after: readonly Written[]): Written | undefined {
  return after.find((write) => reach.some((r) => r.lineage === write.lineage && r.position <= write.position));
}
