/** `meterfold rejects redrive`: page by page, until all that match were judged. */
import type { Ask, Asker } from './ask.ts';
import type { JsonFlag } from './checks.ts';
import { json, type Streams, table } from './output.ts';

const FILTERS = ['code', 'tenant', 'since', 'before', 'lineage', 'position'] as const;

export interface RedriveFlags extends JsonFlag, Readonly<Partial<Record<(typeof FILTERS)[number], string>>> {
  readonly dryRun?: boolean;
}

interface Fate {
  readonly code: string;
  readonly now: string;
  readonly rejects: number;
}
interface Report {
  readonly dry_run: boolean;
  readonly judged: number;
  readonly would_count: number;
  readonly redriven: number;
  readonly fates: readonly Fate[];
}
type Page = Report & { readonly next: string | null };

/** Answers 0, also where nothing was redriven: that is said. */
export async function redriveCommand(flags: RedriveFlags, ask: Ask, streams: Streams): Promise<number> {
  const report = await ask((asker) => allPages(asker, flags));
  streams.out(flags.json === true ? json(report) : reportText(report));
  return 0;
}

async function allPages(asker: Asker, { dryRun = false, ...flags }: RedriveFlags): Promise<Report> {
  const given = FILTERS.flatMap((name) => (flags[name] === undefined ? [] : [[name, flags[name]] as const]));
  const filter = { dry_run: dryRun, ...Object.fromEntries(given) };
  let report: Report = { dry_run: dryRun, judged: 0, would_count: 0, redriven: 0, fates: [] };
  for (let next: string | null | undefined; next !== null;) {
    const page: Page = await asker.post<Page>('/v1/rejects/redrive', {
      ...filter,
      ...(next === undefined ? {} : { cursor: next }),
    });
    report = sumOf(report, page);
    ({ next } = page);
  }
  return report;
}

const sumOf = (one: Report, other: Report): Report => ({
  dry_run: one.dry_run,
  judged: one.judged + other.judged,
  would_count: one.would_count + other.would_count,
  redriven: one.redriven + other.redriven,
  fates: joined([...one.fates, ...other.fates]),
});

function joined(fates: readonly Fate[]): readonly Fate[] {
  const sums = new Map<string, Fate>();
  for (const { code, now, rejects } of fates) {
    const id = `${code} ${now}`;
    sums.set(id, { code, now, rejects: (sums.get(id)?.rejects ?? 0) + rejects });
  }
  return [...sums.values()].sort((a, b) => (`${a.code} ${a.now}` < `${b.code} ${b.now}` ? -1 : 1));
}

/** Verdicts in words where they are no code of a reject. */
const WORDS: Readonly<Record<string, string>> = {
  ok: 'would count',
  ALREADY_COUNTED: 'its key counts already',
};
const word = (now: string): string => WORDS[now] ?? `still ${now}`;

function reportText(report: Report): string {
  const { fates } = report;
  if (report.judged === 0) return 'nothing redriven: no reject matches that was not redriven before';
  const rows = fates.map(({ code, now, rejects }) => [code, fateOf(code, now), String(rejects)]);
  const hasConflict = fates.some(({ code }) => code === 'KEY_CONFLICT');
  return [
    table(['code', 'now', 'rejects'], rows, new Set([2])),
    ...(hasConflict ? ['KEY_CONFLICT is never redriven: the first copy of a key stands'] : []),
    conclusion(report),
  ].join('\n');
}

const fateOf = (code: string, now: string): string => (code === 'KEY_CONFLICT' ? 'stays: the first stands' : word(now));

function conclusion({ dry_run: isDry, judged, would_count: would, redriven }: Report): string {
  if (isDry) return `${would} of ${judged} would be redriven; nothing was written`;
  if (redriven > 0) return `${redriven} of ${judged} redriven: their records go home, where each key counts once`;
  return would === 0
    ? `nothing redriven: none of ${judged} would count now`
    : `nothing redriven: another redrive has taken all ${would} that would count`;
}
