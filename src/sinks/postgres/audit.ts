/** Everything that is published, of one snapshot: for recounts. */
import type { Pool } from 'pg';
import type { BatchSnapshot } from '../../contract.ts';
import type { Cell } from '../../domain/cell.ts';
import { parseSum } from '../../domain/decimal.ts';
import { mergeStates } from '../../domain/state.ts';
import { type CutRow, cutsOf } from './cuts.ts';
import { run } from './pool.ts';

export interface PublishedHour {
  readonly tenant: string;
  readonly eventType: string;
  /** Hours since 1970. */
  readonly hour: number;
  readonly total: bigint;
  readonly count: number;
}
export interface Audit extends BatchSnapshot {
  readonly hours: readonly PublishedHour[];
  /** Hours since 1970: what lies before it was dropped. */
  readonly usageFrom: number;
}

/** One statement, hence one snapshot. Rollups are merged by hour; their minute is the hour's first. */
const AUDIT = `
  WITH merged AS (
    SELECT tenant_id AS tenant, meter, minute / 60 * 60 AS minute, grp, sum(count)::text AS count, sum(sum)::text AS sum,
      min(min)::text AS min, max(max)::text AS max, max(latest_order) AS latest_order,
      (array_agg(latest_value ORDER BY latest_order DESC NULLS LAST))[1]::text AS latest_value,
      array_agg(state) FILTER (WHERE state IS NOT NULL) AS states
    FROM rollups GROUP BY 1, 2, 3, 4
  ), hours AS (
    SELECT tenant_id AS tenant, event_type, (extract(epoch FROM hour) / 3600)::int AS hour, total_quantity::text AS total, event_count::text AS count
    FROM usage_hourly
  )
  SELECT 0 AS kind, to_jsonb(cuts) AS row FROM cuts UNION ALL SELECT 1, to_jsonb(merged) FROM merged UNION ALL SELECT 2, to_jsonb(hours) FROM hours
  UNION ALL SELECT 3, jsonb_build_object('hour', usage_from) FROM installation`;

interface Row {
  readonly kind: number;
  readonly row: Readonly<Partial<Record<Text, string>>> & {
    readonly minute: number;
    readonly hour: number;
    readonly segments: number;
    readonly rules: number;
    readonly gaps: number;
    readonly arrival: number;
    readonly states: readonly string[] | null;
  };
  readonly [column: string]: unknown;
}

type Text =
  | 'tenant'
  | 'meter'
  | 'grp'
  | 'count'
  | 'sum'
  | 'min'
  | 'max'
  | 'latest_order'
  | 'latest_value'
  | 'event_type'
  | 'total'
  | 'lineage'
  | 'position';

const optional = (text: string | null | undefined): bigint | undefined =>
  text === null || text === undefined ? undefined : parseSum(text);

function cellOf({ row }: Row): Cell {
  const { tenant = '', meter = '', minute, grp = '', count = '0', sum = '0' } = row;
  const value = optional(row.latest_value);
  const latest = value === undefined ? undefined : { order: row.latest_order ?? '', value };
  return {
    tenant,
    meter,
    minute,
    group: grp,
    count: Number(count),
    sum: parseSum(sum),
    min: optional(row.min),
    max: optional(row.max),
    latest,
    ...mergeStates(row.states ?? []),
  };
}

const hourOf = ({ row }: Row): PublishedHour => ({
  tenant: row.tenant ?? '',
  eventType: row.event_type ?? '',
  hour: row.hour,
  total: parseSum(row.total ?? '0'),
  count: Number(row.count),
});

const cutRowOf = ({ row }: Row): CutRow => ({ ...row, lineage: row.lineage ?? '', position: row.position ?? '' });

export async function auditSnapshot(pool: Pool): Promise<Audit> {
  const rows = await run<Row>(pool, 'audit the batch view', AUDIT);
  const of = (kind: number): Row[] => rows.filter((row) => row.kind === kind);
  const usageFrom = of(3)[0]?.row.hour ?? 0;
  return { cuts: cutsOf(of(0).map(cutRowOf)), cells: of(1).map(cellOf), hours: of(2).map(hourOf), usageFrom };
}
