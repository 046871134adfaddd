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
  readonly exactAfterS: number;
  readonly caughtUpAfterS: number;
  readonly seconds: number;
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
/** A worker that is gone is missed by the others after the session of its group, 30 s: what it held waits for that. */
const CAUGHT_UP_MS = 90_000;
/** The load works before the fault, so that there is something to lose, ms. */
const BEFORE_MS = 3000;
const LOOK_MS = 100;

const DAY = 86_400_000;
const everything = () => {
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

/** Seconds until it holds, or undefined at the deadline. */
async function secondsUntil(
  stage: Stage,
  ms: number,
  holds: (answers: readonly Answer[]) => boolean,
): Promise<number | undefined> {
  const began = performance.now();
  while (performance.now() - began < ms) {
    const answers = await allAnswers(stage);
    if (answers !== undefined && holds(answers)) return Math.round((performance.now() - began) / 100) / 10;
    await sleep(LOOK_MS);
  }
  return undefined;
}

const isExact = ({ proof }: Answer): boolean => proof.state === 'exact';

/** Final answers against the truth of the whole log, once the load is quiet: too little, too much. */
async function finalDifference({ installation, load, oracle }: Stage): Promise<{ missing: number; surplus: number }> {
  let [missing, surplus] = [0, 0];
  for (const tenant of load.tenants)
    for (const type of TYPES) {
      const question = { tenant, type, ...everything() };
      const answer = await ask(installation.url('api', 0), question);
      if ('status' in answer) continue;
      const truth = oracle.truth(question, answer.proof);
      const count = answer.rows.reduce((sum, row) => sum + row.count, 0);
      missing += Math.max(0, (truth?.count ?? 0) - count);
      surplus += Math.max(0, count - (truth?.count ?? 0));
    }
  return { missing, surplus };
}

/** Runs a fault over the load, and judges. */
export async function runRow(stage: Stage, fault: Fault, number: number): Promise<Row> {
  const { installation, load, oracle, readers, watch, random, say } = stage;
  const began = performance.now();
  load.name(`row${number}`);
  load.resume();
  await sleep(BEFORE_MS);
  readers.take();
  await watch.look();
  const before = watch.totals();
  const [resent, book] = [load.resent, load.book.size];
  say(`fault: ${fault.name}`);
  const struck = await fault.strike({ installation, load, oracle, random, say, wait: (ms) => sleep(ms) });
  say(`fault is over: ${fault.name}`);
  const ends = oracle.ends;
  const over = performance.now();
  const exactAfter = await secondsUntil(stage, EXACT_MS, (answers) => answers.every(isExact));
  const caughtUp = await secondsUntil(stage, CAUGHT_UP_MS, (answers) =>
    answers.every((answer) => isExact(answer) && reachesTo(answer.proof, ends)),
  );
  const caughtUpAfterS = Math.round((performance.now() - over) / 100) / 10;
  await load.pause();
  const counts = readers.take();
  const acknowledged = [...load.book.values()].slice(book);
  const settled = await secondsUntil(stage, CAUGHT_UP_MS, (answers) =>
    answers.every((answer) => reachesTo(answer.proof, oracle.ends)),
  );
  const unwritten = acknowledged.filter(([tenant, key]) => !oracle.isWritten(tenant, key)).length;
  const { missing, surplus } = await finalDifference(stage);
  await watch.look();
  const counter = (name: string): number => watch.total(name) - (before.get(name) ?? 0);
  const bites = fault.bites({ counts, counter, resent: load.resent - resent });
  const evidence = { ...struck, ...bites };
  const { exact, provisional, refused, unanswered, wrong } = counts;
  const answers = exact + provisional + refused + unanswered;
  const failures = [
    ...(wrong > 0 ? [`${wrong} wrong answers`] : []),
    ...(unwritten + missing > 0 ? [`${unwritten + missing} lost`] : []),
    ...(surplus > 0 ? [`${surplus} double`] : []),
    ...(Object.values(bites).some((n) => n > 0) ? [] : ['the fault did not bite']),
    ...(exactAfter === undefined ? [`not exact within ${EXACT_MS} ms`] : []),
    ...(caughtUp === undefined || settled === undefined ? ['not caught up in time'] : []),
    ...(fault.answered !== undefined && exact + provisional < fault.answered * answers ? ['too few answers'] : []),
  ];
  return {
    ...{ fault: fault.name, acknowledged: acknowledged.length, lost: unwritten + missing, double: surplus, wrong },
    ...{ answers, exact, provisional, refused, unanswered, reasons: Object.fromEntries(counts.reasons), evidence },
    ...{ exactAfterS: exactAfter ?? -1, caughtUpAfterS, failures },
    seconds: Math.round((performance.now() - began) / 1000),
  };
}
