/** One row of the table: a fault, and what became of the answers meanwhile and behind it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../simulation/random.ts';
import type { Evidence, Fault } from './fault.ts';
import type { Installation } from './installation.ts';
import type { Load } from './load.ts';
import type { Answer, Oracle } from './oracle.ts';
import { reachesTo } from './oracle.ts';
import { ask, type Readers, TYPES } from './readers.ts';
import type { Watch } from './watch.ts';

export interface Row {
  readonly fault: string;
  readonly acknowledged: number;
  /** Acknowledged, and not in the log or not in the final answers. */
  readonly lost: number;
  readonly double: number;
  readonly wrong: number;
  readonly answers: number;
  readonly exact: number;
  readonly provisional: number;
  readonly refused: number;
  readonly unanswered: number;
  readonly reasons: Readonly<Record<string, number>>;
  readonly evidence: Evidence;
  /** From the end of the fault until every answer was exact; and until they held all that lay in the log at that end. */
  readonly exactAfterS: number | undefined;
  readonly caughtUpAfterS: number | undefined;
  readonly seconds: number;
  /** Nothing goes on behind it: it is not waited for. */
  readonly isEnding: boolean;
  /** Why the row fails; empty where it does not. */
  readonly failures: readonly string[];
}

export interface Stage {
  readonly installation: Installation;
  readonly load: Load;
  readonly oracle: Oracle;
  readonly readers: Readers;
  readonly watch: Watch;
  readonly random: Random;
  readonly say: (line: string) => void;
}

/** Answers are exact again within this, ms. */
const EXACT_MS = 30_000;
/** A worker that is gone is missed by the others after the session of its group, 10 s: what it held waits for that. */
const CAUGHT_UP_MS = 30_000;
/** What is misrouted is sealed, relayed, and read again. */
const SETTLED_MS = 60_000;
/** The load works before the fault, so that there is something to lose, ms. */
const BEFORE_MS = 3000;
const LOOK_MS = 100;

const DAY = 86_400_000;
export const everything = () => {
  const today = Math.floor(Date.now() / DAY) * DAY;
  return { from: today - 3 * DAY, to: today + 3 * DAY };
};

/** The answers of every api to everything that the tenants of the row used. Undefined while one of them gives none. */
async function allAnswers({ installation, load }: Stage): Promise<readonly Answer[] | undefined> {
  const answers: Answer[] = [];
  for (const { url } of installation.of('api'))
    for (const tenant of load.tenants)
      for (const type of TYPES) {
        const answer = await ask(url, { tenant, type, ...everything() }).catch(() => undefined);
        if (answer === undefined || 'status' in answer) return undefined;
        answers.push(answer);
      }
  return answers.length === 0 ? undefined : answers;
}

const seconds = (since: number): number => Math.round((performance.now() - since) / 100) / 10;

/** Seconds until it holds, or undefined at the deadline. */
async function secondsUntil(
  stage: Stage,
  ms: number,
  holds: (answers: readonly Answer[]) => boolean,
): Promise<number | undefined> {
  const began = performance.now();
  while (performance.now() - began < ms) {
    const answers = await allAnswers(stage);
    if (answers !== undefined && holds(answers)) return seconds(began);
    await sleep(LOOK_MS);
  }
  return undefined;
}

async function within(ms: number, holds: () => boolean): Promise<boolean> {
  for (const until = performance.now() + ms; performance.now() < until && !holds();) await sleep(LOOK_MS);
  return holds();
}

/** The end of each partition, as the brokers say. */
async function endsOf({ installation: { servers } }: Stage): Promise<readonly number[]> {
  for (const until = performance.now() + SETTLED_MS; ;) {
    try {
      const found = await servers.parts.client.admin.fetchTopicOffsets(servers.parts.topic);
      return found.sort((a, b) => a.partition - b.partition).map(({ high }) => Number(high));
    } catch (error) {
      if (performance.now() > until) throw error;
      await sleep(LOOK_MS);
    }
  }
}

const isExact = ({ proof }: Answer): boolean => proof.state === 'exact';

/** The last answers against the truth of the whole log: too little, too much. */
async function difference({ installation, load, oracle }: Stage): Promise<{ missing: number; surplus: number }> {
  let [missing, surplus] = [0, 0];
  for (const tenant of load.tenants)
    for (const type of TYPES) {
      const question = { tenant, type, ...everything() };
      const answer = await ask(installation.url('api', 0), question);
      if ('status' in answer) continue;
      const count = answer.rows.reduce((sum, row) => sum + row.count, 0);
      const truth = oracle.truth(question, answer.proof)?.count ?? 0;
      missing += Math.max(0, truth - count);
      surplus += Math.max(0, count - truth);
    }
  return { missing, surplus };
}

interface Recovered {
  readonly exactAfterS: number | undefined;
  readonly caughtUpAfterS: number | undefined;
}

/** The load goes on meanwhile. */
async function recovery(stage: Stage): Promise<Recovered> {
  const began = performance.now();
  const ends = await endsOf(stage);
  const exactAfterS = await secondsUntil(stage, EXACT_MS, (answers) => answers.every(isExact));
  const isCaughtUp = ({ proof }: Answer): boolean => proof.state === 'exact' && reachesTo(proof, ends);
  const caughtUp = await secondsUntil(stage, CAUGHT_UP_MS, (answers) => answers.every(isCaughtUp));
  return { exactAfterS, caughtUpAfterS: caughtUp === undefined ? undefined : seconds(began) };
}

interface Settled {
  readonly acknowledged: number;
  readonly lost: number;
  readonly double: number;
  readonly isSettled: boolean;
}

/** The load is quiet: everything that was acknowledged is at home, and counted once. */
async function settle(stage: Stage, book: number): Promise<Settled> {
  const { load, oracle } = stage;
  await load.pause();
  const acknowledged = [...load.book.values()].slice(book);
  const last = await endsOf(stage);
  const away = (): number => acknowledged.filter(([tenant, key]) => !oracle.knows(tenant, key)).length;
  // What lies elsewhere is brought home first: then the log is longer than it was.
  await within(SETTLED_MS, () => away() === 0);
  const reached = await secondsUntil(stage, SETTLED_MS, (answers) =>
    answers.every(({ proof }) => reachesTo(proof, last) && reachesTo(proof, oracle.ends)),
  );
  const { missing, surplus } = await difference(stage);
  return { acknowledged: acknowledged.length, lost: away() + missing, double: surplus, isSettled: reached !== undefined };
}

type Judged = Omit<Row, 'failures'> & { readonly isSettled: boolean };

function failuresOf(fault: Fault, row: Judged): string[] {
  const answered = row.exact + row.provisional;
  const bit = Object.values(row.evidence).some((n) => n > 0);
  return [
    ...(row.wrong > 0 ? [`${row.wrong} wrong answers`] : []),
    ...(row.lost > 0 ? [`${row.lost} lost`] : []),
    ...(row.double > 0 ? [`${row.double} double`] : []),
    ...(bit === (fault.isControl === true) ? [bit ? 'something was noticed' : 'the fault did not bite'] : []),
    ...(row.exactAfterS === undefined && !row.isEnding ? [`not exact within ${EXACT_MS} ms`] : []),
    ...((row.caughtUpAfterS === undefined || !row.isSettled) && !row.isEnding ? ['not caught up in time'] : []),
    ...(answered < (fault.answered ?? 0) * row.answers ? [`${answered} of ${row.answers} answered`] : []),
  ];
}

const NEVER: Recovered = { exactAfterS: undefined, caughtUpAfterS: undefined };

/** Behind an ending nobody answers for good: what was acknowledged lies at home, or it does not. */
function left({ load, oracle }: Stage, book: number): Settled {
  const acknowledged = [...load.book.values()].slice(book);
  const lost = acknowledged.filter(([tenant, key]) => !oracle.knows(tenant, key)).length;
  return { acknowledged: acknowledged.length, lost, double: 0, isSettled: true };
}

/** Runs a fault over the load, and judges. */
export async function runRow(stage: Stage, fault: Fault, number: number): Promise<Row> {
  const { installation, load, readers, watch, say } = stage;
  const began = performance.now();
  load.name(`row${number}`);
  load.resume();
  await sleep(BEFORE_MS);
  readers.take();
  await watch.look();
  const { restarts } = installation;
  const before = { totals: watch.totals(), resent: load.resent, book: load.book.size };
  say(`fault: ${fault.name}`);
  let failed: string | undefined;
  const struck = await fault.strike({ ...stage, wait: (ms) => sleep(ms) }).catch((error: unknown): Evidence => {
    failed = String(error);
    return {};
  });
  say(`fault is over: ${fault.name}`);
  const { isEnding = false } = fault;
  const recovered = isEnding ? NEVER : await recovery(stage);
  const counts = readers.take();
  const { isSettled, ...settled } = isEnding ? left(stage, before.book) : await settle(stage, before.book);
  await watch.look();
  const counter = (name: string): number => watch.total(name) - (before.totals.get(name) ?? 0);
  const bites = fault.bites({
    ...{ counts, counter, resent: load.resent - before.resent },
    restarts: installation.restarts - restarts,
  });
  const { exact, provisional, refused, unanswered, wrong } = counts;
  const row = {
    ...{ fault: fault.name, ...settled, wrong, exact, provisional, refused, unanswered, ...recovered },
    ...{ answers: exact + provisional + refused + unanswered, reasons: Object.fromEntries(counts.reasons) },
    evidence: { ...struck, ...bites },
    seconds: seconds(began),
    isEnding,
  };
  const failures = failuresOf(fault, { ...row, isSettled });
  return { ...row, failures: failed === undefined ? failures : [failed, ...failures] };
}
