/** `meterfold query`: the merged answer, as the HTTP object or as a table with a line a group. */
import { parseSum } from '../domain/decimal.ts';
import { sparkline } from '../domain/sparkline.ts';
import type { Ask } from './ask.ts';
import { json, type Streams, table } from './output.ts';

export interface QueryFlags {
  readonly tenant?: string;
  readonly from: string;
  readonly to: string;
  readonly window?: string;
  readonly zone?: string;
  readonly groupBy?: string;
  readonly filter?: readonly string[];
  readonly after?: string;
  readonly meterVersion?: string;
  readonly json?: boolean;
}

interface Row {
  readonly start: string;
  readonly end: string;
  readonly value: string;
  readonly count: number;
  readonly group: Readonly<Record<string, string | null>>;
}
interface Answer {
  readonly meter: string;
  readonly unit: string | null;
  readonly tenant: string | null;
  readonly rows: readonly Row[];
  readonly proof: { readonly state: string; readonly reason?: string; readonly as_of: string };
}

function pathOf(meter: string, flags: QueryFlags): string {
  const params = new URLSearchParams();
  const named = {
    tenant: flags.tenant,
    from: flags.from,
    to: flags.to,
    window: flags.window,
    zone: flags.zone,
    group_by: flags.groupBy,
    after: flags.after,
    version: flags.meterVersion,
  };
  for (const [name, value] of Object.entries(named)) if (value !== undefined) params.append(name, value);
  for (const entry of flags.filter ?? []) {
    const at = entry.indexOf('=');
    params.append(`filter[${entry.slice(0, at)}]`, entry.slice(at + 1));
  }
  return `/v1/meters/${encodeURIComponent(meter)}/query?${params.toString()}`;
}

const groupText = (group: Row['group']): string =>
  Object.entries(group)
    .map(([name, value]) => `${name}=${value ?? '–'}`)
    .join(' ');

function asText({ meter, unit, tenant, rows, proof }: Answer): string {
  const groups = [...new Set(rows.map((row) => groupText(row.group)))];
  const lines = groups.map((group) => {
    const values = rows.filter((row) => groupText(row.group) === group).map((row) => parseSum(row.value));
    return `${group === '' ? meter : group}  ${sparkline(values)}`;
  });
  const body = rows.map((row) => [
    row.start,
    row.end,
    ...(groups.length > 1 ? [groupText(row.group)] : []),
    row.value,
    String(row.count),
  ]);
  const head = ['start', 'end', ...(groups.length > 1 ? ['group'] : []), unit ?? 'value', 'events'];
  const proofLine = `${proof.state}${proof.reason === undefined ? '' : ` (${proof.reason})`} as of ${proof.as_of}`;
  const title = `${meter} of ${tenant ?? 'all tenants'}`;
  return [title, ...lines, '', table(head, body, new Set([head.length - 1, head.length - 2])), '', proofLine].join('\n');
}

export async function queryCommand(meter: string, flags: QueryFlags, ask: Ask, streams: Streams): Promise<number> {
  const answer = await ask((asker) => asker.get<Answer>(pathOf(meter, flags)));
  streams.out(flags.json === true ? json(answer) : asText(answer));
  return 0;
}
