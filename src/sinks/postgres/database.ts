/** Where a batch view lives: the pool as it is, or a schema of its own in front of the one that all else is in. */
import type { Pool, QueryResult, QueryResultRow } from 'pg';
import { MeterError } from '../../errors.ts';
import { inTransaction, type Queryable } from './pool.ts';

export interface Database extends Queryable {
  /** As `inTransaction`. */
  transaction<T>(what: string, work: (on: Queryable) => Promise<T>): Promise<T>;
}

export const databaseOf = (pool: Pool): Database => ({
  query: (text, values) => pool.query(text, values),
  transaction: (what, work) => inTransaction(pool, what, work),
});

/** A schema by its name, and by what tells it from another of the same name. */
export interface Schema {
  readonly name: string;
  /** Of pg_namespace. */
  readonly oid: number;
}

/**
 * Tables are looked for in the schema first, and made there. Set in each transaction: the embedded database has one session,
 * and behind a pooler a session is anybody's. Where the schema is gone, or another has its name, a transaction throws
 * DATABASE_UNAVAILABLE before it did anything: else it would find the tables that lie behind.
 */
export function schemaOf(pool: Pool, { name, oid }: Schema): Database {
  const transaction: Database['transaction'] = (what, work) =>
    inTransaction(pool, what, async (client) => {
      await demandThere(client, { name, oid }, what);
      await client.query(
        `SELECT set_config('search_path', quote_ident($1) || ', ' || quote_ident(current_schema()), true)`,
        [name],
      );
      return work(client);
    });
  return {
    query: <R extends QueryResultRow>(text: string, values?: unknown[]): Promise<QueryResult<R>> =>
      transaction('read a rebuild', (on) => on.query<R>(text, values)),
    transaction,
  };
}

/** The lock keeps the schema from being dropped until the transaction ends; only then is it certain which one it is. */
async function demandThere(on: Queryable, { name, oid }: Schema, what: string): Promise<void> {
  try {
    await on.query(`LOCK TABLE "${name.replaceAll('"', '""')}".cuts IN ACCESS SHARE MODE`);
    const { rows } = await on.query(`SELECT FROM pg_namespace WHERE nspname = $1 AND oid = $2`, [name, oid]);
    if (rows.length === 1) return;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && (error.code === UNDEFINED_TABLE || error.code === UNDEFINED_SCHEMA)))
      throw error;
  }
  throw new MeterError('DATABASE_UNAVAILABLE', `${what}: the rebuild was flipped or dropped by another process`);
}
const [UNDEFINED_TABLE, UNDEFINED_SCHEMA] = ['42P01', '3F000'];
