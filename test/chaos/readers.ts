/** Readers: they ask all the time, for every tenant and in several windows, and check each answer against the oracle. */
import { setTimeout as sleep } from 'node:timers/promises';
import { below, pick, type Random } from '../simulation/random.ts';
import type { Answer, Asked, Oracle } from './oracle.ts';
import { scaled } from './oracle.ts';

export const TYPES = ['api_calls', 'tokens'] as const;
const MINUTE = 60_000;
const DAY = 86_400_000;
/** The oracle reads the same log: it is behind for a moment, or as long as the log is away. */
const ORACLE_MS = 60_000;
const ASK_MS = 10_000;
const BETWEEN_MS = 20;

export interface Counts {
  exact: number;
  provisional: number;
  /** 503: nothing was claimed. */
  refused: number;
  /** Nobody answered: the process asked is dead or stopped. */
  unanswered: number;
  wrong: number;
  /** Fences that stood lower than they had stood before. */
  fell: number;
  readonly reasons: Map<string, number>;
}

export interface ReaderPorts {
  readonly oracle: Oracle;
  readonly random: Random;
  /** Where to ask: another one at each question. */
  readonly url: () => string;
  readonly tenants: () => readonly string[];
  readonly say: (line: string) => void;
}

const day = (at: number): number => Math.floor(at / DAY) * DAY;
const minute = (at: number): number => Math.floor(at / MINUTE) * MINUTE;

/** Everything, or some minutes of the last hour. */
export function asked(random: Random, tenants: readonly string[]): Asked {
  const now = Date.now();
  const tenant = random() < 0.1 ? undefined : tenants[below(random, tenants.length)];
  const type = pick(random, TYPES);
  if (random() < 0.6) return { tenant, type, from: day(now) - 2 * DAY, to: day(now) + 2 * DAY };
  const from = minute(now) - below(random, 60) * MINUTE;
  return { tenant, type, from, to: from + (1 + below(random, 60)) * MINUTE };
}

export async function ask(url: string, { tenant, type, from, to }: Asked): Promise<Answer | { readonly status: number }> {
  const range = { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
  const query = new URLSearchParams({ ...range, ...(tenant === undefined ? {} : { tenant }) });
  const response = await fetch(`${url}/v1/meters/${type}/query?${query.toString()}`, {
    signal: AbortSignal.timeout(ASK_MS),
  });
  const body = await response.text();
  return response.ok ? JSON.parse(body) : { status: response.status };
}

/** How an answer differs from the truth at the positions that its proof names; undefined where it does not. */
export async function differenceOf(oracle: Oracle, question: Asked, { proof, rows }: Answer): Promise<string | undefined> {
  for (const deadline = Date.now() + ORACLE_MS; !oracle.covers(proof);) {
    if (Date.now() > deadline) return `the proof reaches beyond the log: ${JSON.stringify(proof)}`;
    await sleep(BETWEEN_MS);
  }
  const truth = oracle.truth(question, proof);
  if (truth === undefined) return undefined;
  const count = rows.reduce((sum, row) => sum + row.count, 0);
  const value = rows.reduce((sum, row) => sum + (scaled(row.value) ?? 0n), 0n);
  if (count === truth.count && value === truth.value) return undefined;
  return `${count} of ${value} is not ${truth.count} of ${truth.value} by ${JSON.stringify(proof)}`;
}

export class Readers {
  readonly #ports: ReaderPorts;
  readonly #stop = new AbortController();
  readonly #fences = new Map<string, string>();
  #over: Promise<unknown> = Promise.resolve();
  counts = fresh();

  constructor(ports: ReaderPorts) {
    this.#ports = ports;
  }

  start(readers: number): void {
    this.#over = Promise.all(Array.from({ length: readers }, () => this.#read()));
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#over;
  }

  /** What was counted until now; from here on it is counted anew. */
  take(): Counts {
    const taken = this.counts;
    this.counts = fresh();
    return taken;
  }

  async #read(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const { random, tenants, url } = this.#ports;
      await this.check(url(), asked(random, tenants()));
      await sleep(BETWEEN_MS);
    }
  }

  async check(url: string, question: Asked): Promise<Answer | undefined> {
    const { counts } = this;
    const stood = new Map(this.#fences);
    const answer = await ask(url, question).catch(() => undefined);
    if (answer === undefined) counts.unanswered += 1;
    else if ('status' in answer) this.#refused(answer.status, question);
    else await this.#compare(answer, question, { counts, stood });
    return answer === undefined || 'status' in answer ? undefined : answer;
  }

  #refused(status: number, question: Asked): void {
    if (status === 503) this.counts.refused += 1;
    // No event of the type yet.
    else if (status !== 404) this.#differs(question, `the status is ${status}`);
  }

  async #compare(answer: Answer, question: Asked, { counts, stood }: Begun): Promise<void> {
    const { proof } = answer;
    counts[proof.state] += 1;
    if (proof.reason !== undefined) counts.reasons.set(proof.reason, (counts.reasons.get(proof.reason) ?? 0) + 1);
    if (proof.reason !== 'speed_unreachable') this.#look(answer, stood);
    const wrong = await differenceOf(this.#ports.oracle, question, answer);
    if (wrong !== undefined) this.#differs(question, wrong);
  }

  #differs(question: Asked, how: string): void {
    this.counts.wrong += 1;
    this.#ports.say(`WRONG ${new Date().toISOString()} ${JSON.stringify(question)}: ${how}`);
  }

  /** A bucket that was read and has no fence has lost it. */
  #look({ proof }: Answer, before: ReadonlyMap<string, string>): void {
    for (const { lineage, speed } of proof.lineages)
      for (const { bucket, fence } of speed) {
        const place = `${lineage} ${bucket}`;
        const stood = before.get(place);
        if (stood !== undefined && (fence === null ? stood !== '' : fence < stood)) this.counts.fell += 1;
        this.#fences.set(place, fence ?? '');
      }
  }
}

/** As it was when the question was asked: answers overtake each other. */
interface Begun {
  readonly counts: Counts;
  readonly stood: ReadonlyMap<string, string>;
}

const fresh = (): Counts => ({
  ...{ exact: 0, provisional: 0, refused: 0, unanswered: 0, wrong: 0, fell: 0 },
  reasons: new Map<string, number>(),
});
