/** What a PostgreSQL must be, and may let this user do, before anything is entrusted to it. Reads alone. */
import { MeterError } from '../../errors.ts';
import { layoutSteps, layoutTexts } from './migrate.ts';
import { type Queryable, run } from './pool.ts';

const LEAST_VERSION = 150_000;

const SERVER = `SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version,
  pg_is_in_recovery() AS recovering, current_setting('default_transaction_read_only') = 'on' AS read_only`;

interface Server {
  readonly number: number;
  readonly version: string;
  readonly recovering: boolean;
  readonly read_only: boolean;
  readonly [column: string]: unknown;
}

/** Answers its version. Throws BAD_CONFIG for one that is too old, or takes no writes. */
export async function demandServer(on: Queryable): Promise<string> {
  const [server] = await run<Server>(on, 'ask the server what it is', SERVER);
  if (server === undefined || server.number < LEAST_VERSION)
    throw refused(`the server is PostgreSQL ${server?.version ?? ''}`, 'PostgreSQL 15 or later');
  if (server.recovering) throw refused('the server is a replica', 'the primary');
  if (server.read_only) throw refused('its transactions are read-only by default', 'default_transaction_read_only = off');
  return `PostgreSQL ${server.version}`;
}

const refused = (what: string, allowed: string): MeterError =>
  new MeterError('BAD_CONFIG', `use the database: ${what}`, { field: 'databaseUrl', allowed });

const MAKES = `SELECT current_user AS me, current_schema() AS schema,
  coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create`;

interface Makes {
  readonly me: string;
  readonly schema: string | null;
  readonly may_create: boolean;
  readonly [column: string]: unknown;
}

/** Months are made and dropped for as long as there is usage, so that the right to make tables is always needed. */
async function demandMakes(on: Queryable): Promise<Makes> {
  const [makes] = await run<Makes>(on, 'ask what the user may do', MAKES);
  if (makes?.may_create === true) return makes;
  const { me, schema } = makes ?? { me: '?', schema: null };
  const where = schema === null ? 'no schema of its search_path is there' : `${me} may not make tables in ${schema}`;
  const allowed = `GRANT CREATE, USAGE ON SCHEMA ${schema ?? 'public'} TO ${me}, or a database of its own`;
  throw refused(where, allowed);
}

/** Others may have tables of their own in the same schema. */
const tablesOf = (texts: readonly string[]): string[] => [
  ...new Set(texts.flatMap((text) => [...text.matchAll(/^CREATE TABLE (\w+)/gm)].map(([, name = '']) => name))),
];

/** Tables that this user may not read and write; months are made by the owner of `usage_hourly` alone. */
const FOREIGN = `SELECT relname AS name FROM pg_class
  WHERE relnamespace = current_schema()::regnamespace AND relname = ANY ($1::text[]) AND NOT pg_has_role(relowner, 'USAGE')
    AND (relname = 'usage_hourly' OR NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
      AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')))
  ORDER BY 1`;

/**
 * Answers how far the layout is. Throws DATA_DIR_NEWER for one of a later version, BAD_CONFIG where the user has not the rights
 * to make it or to use it.
 */
export async function demandLayout(on: Queryable): Promise<{ readonly isWhole: boolean; readonly told: string }> {
  const { there, missing } = await layoutSteps(on);
  const { me, schema } = await demandMakes(on);
  if (there.length === 0) return { isWhole: false, told: `empty: the first start makes the tables in ${schema ?? ''}` };
  const own = tablesOf(layoutTexts());
  const foreign = (await run<{ name: string }>(on, 'ask whose the tables are', FOREIGN, [own])).map(({ name }) => name);
  if (foreign.length > 0)
    throw refused(`${me} may not use ${foreign.join(', ')}`, `the owner of the tables, or a role that it is in`);
  if (missing.length === 0) return { isWhole: true, told: `${there.at(-1) ?? ''} is there` };
  return { isWhole: false, told: `${there.at(-1) ?? ''} is there; the next start adds ${missing.join(', ')}` };
}
