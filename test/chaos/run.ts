/** Runs faults over one installation, in an order that the seed decides, until the time is over; and tells the table. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { below, randomOf } from '../simulation/random.ts';
import type { Fault } from './fault.ts';
import { FAULTS } from './faults/list.ts';
import { control } from './faults/mixed.ts';
import { CLUSTERS, foreignClient, Installation, type Size, SMALL } from './installation.ts';
import { Load } from './load.ts';
import { Oracle } from './oracle.ts';
import { ask, differenceOf, Readers, TYPES } from './readers.ts';
import { everything, type Row, runRow, type Stage } from './row.ts';
import { Watch } from './watch.ts';

export interface Options {
  readonly seed: number;
  /** Rows are begun until so much time is over, and each fault has at least one. */
  readonly minutes: number;
  readonly faults: readonly Fault[];
  readonly size?: Size;
  /** After the row that runs. */
  readonly stop?: AbortSignal;
  readonly say: (line: string) => void;
}

export interface Report {
  readonly rows: readonly Row[];
  /** Whether log, archive, batch view and live counters agree at the end. */
  readonly verify: unknown;
  /** Whether the comparison notices an event that the oracle was made to forget. */
  readonly notices: boolean;
  readonly isOk: boolean;
}

const [READERS, SENDERS] = [3, 2];

/** Numbers for each use: what one of them draws does not move the others. */
const STREAM = { order: 1, load: 2, readers: 3, faults: 4 };

async function stageOf({ seed, size = SMALL, say }: Options): Promise<Stage & { close(): Promise<void> }> {
  const installation = await Installation.start(size, say);
  const { kafka, topic } = installation.servers.parts;
  const client = (id: string) => foreignClient(kafka.brokers, id);
  const oracle = new Oracle(client('oracle'), topic, size.partitions);
  await oracle.start();
  let turn = 0;
  const url = (role: 'ingest' | 'api') => () => installation.url(role, (turn += 1));
  const random = (stream: number) => randomOf(seed, stream);
  const ports = { kafka: client('load'), topic: topic, partitions: size.partitions };
  const load = new Load({ ...ports, random: random(STREAM.load), url: url('ingest') });
  const tenants = () => load.tenants;
  const readers = new Readers({ oracle, random: random(STREAM.readers), url: url('api'), tenants, say });
  const watch = new Watch(() => installation.running);
  load.name('first');
  await load.start(SENDERS);
  readers.start(READERS);
  watch.start();
  const close = async (): Promise<void> => {
    await Promise.all([load.stop(), readers.stop(), watch.stop()]);
    await oracle.stop();
    await installation.close();
  };
  return { installation, load, oracle, readers, watch, random: random(STREAM.faults), say, close };
}

/** The list in an order that the seed decides, again and again. */
function* turns(faults: readonly Fault[], seed: number): Generator<Fault> {
  const random = randomOf(seed, STREAM.order);
  for (;;) {
    const left = [...faults];
    while (left.length > 0) yield* left.splice(below(random, left.length), 1);
  }
}

/** An ending has the installation to itself, behind all others. Where there are none, nothing is done first: that is judged, too. */
function ordered(faults: readonly Fault[]): { readonly first: readonly Fault[]; readonly ending: Fault | undefined } {
  const first = faults.filter(({ isEnding }) => isEnding !== true);
  return { first: first.length > 0 ? first : [control], ending: faults.find(({ isEnding }) => isEnding === true) };
}

export async function runFaults(options: Options): Promise<Report> {
  const { seed, minutes, stop } = options;
  const { first: faults, ending } = ordered(options.faults);
  const began = performance.now();
  const say = (line: string): void => options.say(`${((performance.now() - began) / 1000).toFixed(1).padStart(7)} ${line}`);
  const stage = await stageOf({ ...options, say });
  const rows: Row[] = [];
  const run = async (fault: Fault): Promise<void> => {
    const row = await runRow(stage, fault, rows.length + 1);
    rows.push(row);
    say(`row: ${JSON.stringify(row)}`);
  };
  try {
    for (const fault of turns(faults, seed)) {
      const isOver = performance.now() - began > minutes * 60_000;
      if ((rows.length >= faults.length && isOver) || stop?.aborted === true) break;
      await run(fault);
    }
    const verify = await verified(stage);
    const notices = await noticesLoss(stage);
    if (ending !== undefined && stop?.aborted !== true) await run(ending);
    const holds = rows.every(({ failures }) => failures.length === 0) && (verify as { ok?: boolean }).ok === true;
    return { rows, verify, notices, isOk: holds && notices };
  } finally {
    await stage.close();
  }
}

async function verified({ installation }: Stage): Promise<unknown> {
  const response = await fetch(`${installation.url('api', 0)}/v1/verify`, { method: 'POST' });
  return response.json();
}

/** The oracle's own test: with an event less in its books, the same answer is wrong. */
async function noticesLoss({ installation, load, oracle }: Stage): Promise<boolean> {
  const question = { tenant: load.tenants[0], type: TYPES[0], ...everything() };
  const answer = await ask(installation.url('api', 0), question);
  if ('status' in answer || (await differenceOf(oracle, question, answer)) !== undefined) return false;
  const remember = oracle.forget(question);
  const difference = await differenceOf(oracle, question, answer);
  remember();
  return difference !== undefined;
}

const percent = (part: number, of: number): string => `${of === 0 ? 0 : ((100 * part) / of).toFixed(1)} %`;

/** Markdown, so that it can be recorded as it is. */
export function table(rows: readonly Row[]): string {
  const head = [
    'fault',
    'acknowledged',
    'lost',
    'double',
    'wrong',
    'answers',
    'exact',
    'provisional',
    'refused',
    'nobody there',
  ];
  const columns = [...head, 'exact again after', 'caught up after', 'evidence', 'verdict'];
  const lines = rows.map((row) => [
    ...[row.fault, row.acknowledged, row.lost, row.double, row.wrong, row.answers],
    ...[row.exact, row.provisional, row.refused, row.unanswered].map((part) => percent(part, row.answers)),
    ...[row.exactAfterS, row.caughtUpAfterS].map((s) => (row.isEnding ? '–' : s === undefined ? 'never' : `${s} s`)),
    Object.entries(row.evidence)
      .filter(([, n]) => n > 0)
      .map(([what, n]) => `${what} ${n}`)
      .join(', '),
    row.failures.length === 0 ? 'ok' : `**FAILED**: ${row.failures.join('; ')}`,
  ]);
  return [columns, columns.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** Each fault on the smallest installation that has what it needs. */
function sharesOf(faults: readonly Fault[]): readonly { readonly size: Size; readonly faults: readonly Fault[] }[] {
  const fits = ({ needs }: Fault): boolean => needs?.(SMALL) ?? true;
  const shares = [
    { size: SMALL, faults: faults.filter(fits) },
    { size: CLUSTERS, faults: faults.filter((fault) => !fits(fault)) },
  ];
  return shares.filter((share) => share.faults.length > 0);
}

interface Wanted {
  readonly seed: number;
  readonly minutes: number;
  readonly only: readonly string[];
  /** The selection that CI runs. */
  readonly ci?: boolean;
}

/** As `npm run chaos` calls it. Answers the exit code. */
export async function main({ seed, minutes, only, ci = false }: Wanted): Promise<number> {
  const named = FAULTS.filter(({ name }) => only.length === 0 || only.some((part) => name.includes(part)));
  const faults = named.filter(({ inCi = false }) => inCi || !ci);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const reports: Report[] = [];
  for (const share of sharesOf(faults)) {
    if (stop.signal.aborted) break;
    console.log(`seed ${seed}, ${share.size.brokers} brokers, Redis ${share.size.redis}: ${share.faults.length} faults`);
    reports.push(await runFaults({ seed, minutes, ...share, stop: stop.signal, say: (line) => console.log(line) }));
  }
  const results = fileURLToPath(new URL('results/', import.meta.url));
  mkdirSync(results, { recursive: true });
  writeFileSync(`${results}seed-${seed}.json`, `${JSON.stringify({ seed, minutes, reports }, undefined, 2)}\n`);
  console.log(`\n${table(reports.flatMap(({ rows }) => rows))}\n`);
  for (const { verify, notices } of reports)
    console.log(`verify: ${JSON.stringify(verify)}; a forgotten event is noticed: ${notices}`);
  return reports.every(({ isOk }) => isOk) ? 0 : 1;
}

export const list = (): string => FAULTS.map(({ name, inCi = false }) => `${name}${inCi ? ' (in CI)' : ''}`).join('\n');
