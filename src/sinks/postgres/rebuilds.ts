/** The batch view anew on PostgreSQL: the same tables in a schema of its own, made by the migrations, moved at the flip. */
import type { Pool } from 'pg';
import type {
  BatchView,
  Extent,
  FlipTransaction,
  NotCompared,
  Rebuilds,
  ViewComparison,
  ViewDifference,
} from '../../contract.ts';
import { MeterError } from '../../errors.ts';
import { batchViewOn } from './batch-view.ts';
import { type CutRow, cutsOf } from './cuts.ts';
import { type Schema, schemaOf } from './database.ts';
import { type IndexSettings, indexTexts } from './indexes.ts';
import { demandNewest, layoutName, layoutTexts } from './migrate.ts';
import { MONTH_STORAGE } from './months.ts';
import { inTransaction, type Queryable, run } from './pool.ts';
import * as texts from './rebuild-sql.ts';

/** Beside the schema that everything is in, so that two installations in one database keep apart. */
const schemaBeside = (live: string): string => `${live}_rebuild`;
const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

async function liveSchema(on: Queryable): Promise<string> {
  const [row] = await run<{ name: string }>(on, 'read the schema', 'SELECT current_schema() AS name');
  return row?.name ?? 'public';
}

interface Schemas {
  /** As they are. */
  readonly live: string;
  readonly rebuilt: string;
}
const schemasOf = async (on: Queryable): Promise<Schemas> => {
  const live = await liveSchema(on);
  return { live, rebuilt: schemaBeside(live) };
};

interface Begun extends Schema {
  /** That it was begun with. */
  readonly layout: string;
  readonly [column: string]: unknown;
}

async function begun(on: Queryable, schema: string): Promise<Begun | undefined> {
  const text = `SELECT nspname AS name, oid::int8 AS oid, coalesce(obj_description(oid, 'pg_namespace'), '') AS layout
    FROM pg_namespace WHERE nspname = $1`;
  const [row] = await run<Begun>(on, 'look for a rebuild', text, [schema]);
  return row;
}

/** What is of a view stays, with `rejects`, where a publish notes conflicts; the migrations make more than that. */
const KEPT: readonly string[] = [...texts.VIEW_TABLES, 'rejects'];

/** The layout is that of the live view by construction: the same texts made it. All or nothing. */
async function make(pool: Pool, schema: string, indexes: IndexSettings): Promise<void> {
  await inTransaction(pool, 'begin a rebuild', async (client) => {
    // One that an older version began is laid out otherwise.
    await client.query(`DROP SCHEMA IF EXISTS ${quoted(schema)} CASCADE`);
    await client.query(`CREATE SCHEMA ${quoted(schema)}`);
    await client.query(`COMMENT ON SCHEMA ${quoted(schema)} IS '${layoutName()}'`);
    await client.query(`SELECT set_config('search_path', quote_ident($1), true)`, [schema]);
    for (const text of [...layoutTexts(), ...indexTexts(indexes)]) await run(client, 'lay a rebuild out', text);
    const others = `SELECT relname AS name FROM pg_class c WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p')
      AND NOT relispartition AND relname <> ALL ($2::text[])`;
    for (const { name } of await run<{ name: string }>(client, 'lay a rebuild out', others, [schema, KEPT]))
      await client.query(`DROP TABLE ${quoted(name)} CASCADE`);
  });
}

interface ExtentRow {
  readonly cuts: readonly CutRow[];
  readonly filled: readonly { readonly meter: string; readonly lineage: string; readonly segments: number }[];
  readonly serving: readonly string[];
  readonly [column: string]: unknown;
}

const extentText = (schema: string): string => `
  SELECT (SELECT coalesce(jsonb_agg(c), '[]') FROM ${schema}.cuts c) AS cuts,
    (SELECT coalesce(jsonb_agg(f), '[]') FROM ${schema}.meters_filled f) AS filled,
    (SELECT coalesce(jsonb_agg(s.meter), '[]') FROM ${schema}.meters_serving s) AS serving`;

async function extentOf(on: Queryable, schema: string): Promise<Extent> {
  const [row] = await run<ExtentRow>(on, 'read how far a view is', extentText(quoted(schema)));
  const filled = new Map<string, Map<string, number>>();
  for (const { meter, lineage, segments } of row?.filled ?? [])
    filled.set(meter, (filled.get(meter) ?? new Map<string, number>()).set(lineage, segments));
  return { cuts: cutsOf(row?.cuts ?? []), filled, serving: new Set(row?.serving ?? []) };
}

interface Partition {
  readonly parent: string;
  readonly name: string;
  readonly bounds: string;
  readonly [column: string]: unknown;
}
const partitionsOf = (on: Queryable, schema: string): Promise<Partition[]> =>
  run<Partition>(on, 'list partitions', texts.PARTITIONS, [quoted(schema), texts.VIEW_TABLES]);

/** The months of the live view, no more and no less: processes remember which there are, and retention dropped the others. */
async function sameMonths(on: Queryable, { live, rebuilt }: Schemas): Promise<void> {
  const [wanted, made] = [await partitionsOf(on, live), await partitionsOf(on, rebuilt)];
  const missing = wanted.filter(({ name }) => !made.some((one) => one.name === name));
  const extra = made.filter(({ name }) => !wanted.some((one) => one.name === name));
  const what = 'give a rebuild the months of the live view';
  for (const { parent, name, bounds } of missing) {
    const table = `${quoted(rebuilt)}.${quoted(name)}`;
    const text = `CREATE TABLE ${table} PARTITION OF ${quoted(rebuilt)}.${quoted(parent)} ${bounds} ${MONTH_STORAGE}`;
    await run(on, what, text);
  }
  for (const { name } of extra) await run(on, what, `DROP TABLE ${quoted(rebuilt)}.${quoted(name)}`);
  const from = `(SELECT usage_from FROM ${quoted(live)}.installation)`;
  await run(on, what, `DELETE FROM ${quoted(rebuilt)}.hour_partials WHERE hour < ${from}`);
}

/** Waits so long for others, who wait behind it meanwhile. */
const LOCK_WITHIN = '2s';

function flipTransaction(on: Queryable, schemas: Schemas, sql: Pick<typeof texts, 'VIEW_TABLES'>): FlipTransaction {
  const { live, rebuilt } = schemas;
  return {
    lock: async () => {
      await run(on, 'flip', `SELECT set_config('lock_timeout', $1, true)`, [LOCK_WITHIN]);
      for (const table of sql.VIEW_TABLES)
        await run(on, `flip: lock ${table}`, `LOCK TABLE ${quoted(live)}.${table} IN ACCESS EXCLUSIVE MODE`);
    },
    extents: async () => ({ live: await extentOf(on, live), rebuilt: await extentOf(on, rebuilt) }),
    swap: async () => {
      // Under the locks: what a newer version adds to these tables is either known by now, or done after the flip.
      await demandNewest(on, 'flip');
      await sameMonths(on, schemas);
      for (const text of texts.moveConflicts(quoted(live), quoted(rebuilt))) await run(on, 'flip: conflicts', text);
      const moved = [...texts.VIEW_TABLES, ...(await partitionsOf(on, rebuilt)).map(({ name }) => name)];
      for (const table of texts.VIEW_TABLES) await run(on, `flip: drop ${table}`, `DROP TABLE ${quoted(live)}.${table}`);
      for (const table of moved)
        await run(on, `flip: move ${table}`, `ALTER TABLE ${quoted(rebuilt)}.${quoted(table)} SET SCHEMA ${quoted(live)}`);
      await run(on, 'flip', `DROP SCHEMA ${quoted(rebuilt)} CASCADE`);
    },
  };
}

async function compare(pool: Pool, after: string, not: NotCompared): Promise<ViewComparison> {
  const { live, rebuilt } = await schemasOf(pool);
  const what = 'compare a rebuild';
  const [tenants] = await run<{ tenants: number; last: string | null }>(pool, what, texts.lastTenant(quoted(rebuilt)), [
    after,
  ]);
  const last = tenants?.tenants === texts.TENANTS ? tenants.last : null;
  const text = texts.compareText(quoted(live), quoted(rebuilt));
  type Row = {
    readonly level: boolean;
    readonly differences: readonly ViewDifference[];
    readonly [column: string]: unknown;
  };
  const [row] = await run<Row>(pool, what, text, texts.compareValues(after, last, not));
  return { isLevel: row?.level === true, differences: row?.differences ?? [], next: last ?? undefined };
}

/** `indexes`: those that the live view has by its settings. `sql` is for tests that show what the lock is for. */
export function postgresRebuilds(
  pool: Pool,
  indexes: IndexSettings,
  sql: Pick<typeof texts, 'VIEW_TABLES'> = texts,
): Rebuilds {
  const open = async (): Promise<BatchView> => {
    await demandNewest(pool, 'begin a rebuild');
    const { rebuilt } = await schemasOf(pool);
    if ((await begun(pool, rebuilt))?.layout !== layoutName()) await make(pool, rebuilt, indexes);
    const made = await begun(pool, rebuilt);
    if (made === undefined) throw new MeterError('DATABASE_UNAVAILABLE', 'begin a rebuild: another process dropped it');
    return batchViewOn(schemaOf(pool, made));
  };
  return {
    open,
    compare: (after = '', not) => compare(pool, after, not),
    flip: async (work) => {
      const schemas = await schemasOf(pool);
      return inTransaction(pool, 'flip', (client) => work(flipTransaction(client, schemas, sql)));
    },
    isOpen: async () => (await begun(pool, (await schemasOf(pool)).rebuilt)) !== undefined,
    drop: async () => {
      const { rebuilt } = await schemasOf(pool);
      await run(pool, 'drop a rebuild', `DROP SCHEMA IF EXISTS ${quoted(rebuilt)} CASCADE`);
    },
  };
}
