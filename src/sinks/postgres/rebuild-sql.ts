/** What the two batch views are made of, and the texts that compare them. */
import type { NotCompared } from '../../contract.ts';

/** The tables of a batch view, in the order in which a publish touches them: a lock in this order meets none in a circle. */
export const VIEW_TABLES = [
  'metering_events',
  'partials',
  'hour_partials',
  'copies',
  'rollups',
  'usage_hourly',
  'usage_daily',
  'meters_filled',
  'meters_serving',
  'cuts',
] as const;

/** A table of rows by tenant: the columns of its key, and the others that must be the same. */
interface Compared {
  readonly table: string;
  readonly key: readonly string[];
  readonly row: readonly string[];
  /** Of the rows that either view must have. */
  readonly where?: string;
  /** Of the pairs that differ: which of them say something. */
  readonly unless?: string;
}

const CELL = ['tenant_id', 'meter', 'minute', 'grp'];
const VALUES = ['count', 'sum', 'min', 'max', 'latest_order', 'latest_value', 'state'];
const ANSWERING = 'meter <> ALL ($3::text[])';

const COMPARED: readonly Compared[] = [
  {
    table: 'metering_events',
    key: ['tenant_id', 'idempotency_key'],
    row: ['event_type', 'quantity', 'event_timestamp', 'lineage', 'position', 'content'],
    // The live view may have forgotten an old key.
    unless: `l.row IS NULL AND r.event_timestamp < to_timestamp($4 / 1000.0)`,
  },
  { table: 'partials', key: [...CELL, 'lineage', 'segment'], row: VALUES, where: ANSWERING },
  { table: 'rollups', key: CELL, row: VALUES, where: ANSWERING },
  {
    table: 'hour_partials',
    key: ['tenant_id', 'event_type', 'hour', 'lineage', 'segment'],
    row: ['total', 'count'],
    where: 'hour >= (SELECT usage_from FROM installation)',
  },
  {
    table: 'usage_hourly',
    key: ['tenant_id', 'event_type', 'hour'],
    row: ['total_quantity', 'event_count'],
    where: 'hour >= to_timestamp((SELECT usage_from FROM installation) * 3600.0)',
  },
  { table: 'usage_daily', key: ['tenant_id', 'event_type', 'day'], row: ['total_quantity', 'event_count'] },
  {
    table: 'rejects',
    key: ['lineage', 'position'],
    row: ['tenant_id', 'event_type', 'field', 'reason', 'value'],
    where: `code = 'KEY_CONFLICT'`,
  },
];

/** Rows of one table that differ. $1 and $2: tenants from behind the one up to the other. */
function differing(live: string, rebuilt: string, { table, key, row, where = 'true', unless = 'false' }: Compared): string {
  const extra = unless === 'false' ? '' : ', event_timestamp';
  const side = (schema: string): string => `(
    SELECT ${key.join(', ')}${extra}, ROW(${row.join(', ')})::text AS row FROM ${schema}.${table}
    WHERE tenant_id > $1 AND ($2::text IS NULL OR tenant_id <= $2) AND ${where})`;
  return `(SELECT '${table}' AS "table", jsonb_build_array(${key.join(', ')})::text AS key, l.row AS live, r.row AS rebuilt
    FROM ${side(live)} l FULL JOIN ${side(rebuilt)} r USING (${key.join(', ')})
    WHERE l.row IS DISTINCT FROM r.row AND NOT coalesce(${unless}, false) LIMIT ${MOST})`;
}

/** Differences of one table that a comparison tells. */
const MOST = 20;
/** Tenants of one comparison. */
export const TENANTS = 20;

/** How many tenants there are behind $1, up to TENANTS, and the last of them. */
export const lastTenant = (rebuilt: string): string => `
  SELECT count(*)::int AS tenants, max(tenant_id) AS last FROM
    (SELECT DISTINCT tenant_id FROM ${rebuilt}.usage_daily WHERE tenant_id > $1 ORDER BY 1 LIMIT ${TENANTS}) AS t`;

const cutsOf = (schema: string): string =>
  `(SELECT coalesce(jsonb_object_agg(lineage, segments), '{}') FROM ${schema}.cuts)`;

/** One statement, hence one snapshot: whether the cuts are the same, and what differs. */
export const compareText = (live: string, rebuilt: string): string => `
  SELECT ${cutsOf(live)} = ${cutsOf(rebuilt)} AS level,
    (SELECT coalesce(jsonb_agg(d), '[]') FROM (${COMPARED.map((c) => differing(live, rebuilt, c)).join(' UNION ALL ')}) AS d) AS differences`;

export const compareValues = (after: string, last: string | null, { meters, keysBefore }: NotCompared): unknown[] => [
  after,
  last,
  meters,
  keysBefore,
];

/** Ordinary tables below a table of a view: itself, or its partitions with their bounds. */
export const PARTITIONS = `
  SELECT p.relname AS parent, c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
  WHERE p.relnamespace = $1::regnamespace AND p.relkind = 'p' AND p.relname = ANY ($2::text[]) ORDER BY 2`;

/** Conflicts are found by the publish: those of the live view go, those of the new one come. The other rejects are the worker's. */
export const moveConflicts = (live: string, rebuilt: string): readonly string[] => [
  `DELETE FROM ${live}.rejects r WHERE code = 'KEY_CONFLICT'
    AND NOT EXISTS (SELECT FROM ${rebuilt}.rejects n WHERE (n.lineage, n.position, n.code) = (r.lineage, r.position, r.code))`,
  `INSERT INTO ${live}.rejects SELECT * FROM ${rebuilt}.rejects ON CONFLICT DO NOTHING`,
];
