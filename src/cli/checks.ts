/** `meterfold verify` and `meterfold rejects list`. */
import type { VerifyReport } from '../verify/compare.ts';
import type { Ask } from './ask.ts';
import { json, type Streams, table } from './output.ts';

export interface JsonFlag {
  readonly json?: boolean;
}

function reportText(report: VerifyReport): string {
  const { archived, merged, compared, findings, differences, differing } = report;
  const rows = differences.map((d) => [d.kind, d.tenant, d.name, d.hour, d.expected ?? '–', d.found ?? '–']);
  const shown = differences.length < differing ? [`… and ${differing - differences.length} more`] : [];
  return [
    `${archived} events recounted from the archive, ${merged} with the log's tail`,
    `${compared.batch} hours of the batch view and ${compared.merged} of the merged answer compared`,
    ...findings.map(({ object, what }) => `archive: ${object}: ${what}`),
    ...(rows.length === 0
      ? []
      : [table(['store', 'tenant', 'type or meter', 'hour', 'expected', 'found'], rows, new Set([4, 5]))]),
    ...shown,
    report.ok ? 'all equal' : 'NOT EQUAL',
  ].join('\n');
}

/** Answers 1 where anything differs. */
export async function verifyCommand(flags: JsonFlag, ask: Ask, streams: Streams): Promise<number> {
  const report = await ask((asker) => asker.post<VerifyReport>('/v1/verify'));
  streams.out(flags.json === true ? json(report) : reportText(report));
  return report.ok ? 0 : 1;
}

export interface RejectFlags extends JsonFlag {
  readonly code?: string;
  readonly tenant?: string;
  readonly limit: string;
  readonly cursor?: string;
}

interface Rejected {
  readonly code: string;
  readonly field: string | null;
  readonly reason: string;
  readonly tenant_id: string | null;
  readonly event_type: string | null;
  readonly lineage: string;
  readonly position: string;
  readonly arrival: string;
  readonly redriven_at: string | null;
}
interface RejectPage {
  readonly rejects: readonly Rejected[];
  readonly next: string | null;
}

export async function rejectsCommand(flags: RejectFlags, ask: Ask, streams: Streams): Promise<number> {
  const params = new URLSearchParams({ limit: flags.limit });
  for (const name of ['code', 'tenant', 'cursor'] as const) if (flags[name] !== undefined) params.set(name, flags[name]);
  const page = await ask((asker) => asker.get<RejectPage>(`/v1/rejects?${params.toString()}`));
  if (flags.json === true) {
    streams.out(json(page));
    return 0;
  }
  const rows = page.rejects.map((r) => [
    r.arrival,
    r.code,
    r.field ?? '–',
    r.tenant_id ?? '–',
    r.event_type ?? '–',
    r.reason,
    r.redriven_at ?? '–',
  ]);
  streams.out(
    rows.length === 0
      ? 'no rejects'
      : table(['arrival', 'code', 'field', 'tenant', 'event type', 'reason', 'redriven'], rows, new Set()),
  );
  if (page.next !== null) streams.out(`more: --cursor ${page.next}`);
  return 0;
}
