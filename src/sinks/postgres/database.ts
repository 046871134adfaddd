/** Where a batch view lives: the pool as it is, or a schema of its own in front of the one that all else is in. */
import type { Pool, QueryResult, QueryResultRow } from 'pg';
import { inTransaction, type Queryable } from './pool.ts';

export interface Database extends Queryable {
  /** As `inTransaction`. */
  transaction<T>(what: string, work: (on: Queryable) => Promise<T>): Promise<T>;
}

export const databaseOf = (pool: Pool): Database => ({
  query: (text, values) => pool.query(text, values),
  transaction: (what, work) => inTransaction(pool, what, work),
});

/**
 * Tables are looked for in `schema` first, and made there. Set in each transaction: the embedded database has one session,
 * and behind a pooler a session is anybody's.
 */
export function schemaOf(pool: Pool, schema: string): Database {
  const transaction: Database['transaction'] = (what, work) =>
    inTransaction(pool, what, async (client) => {
      await client.query(
        `SELECT set_config('search_path', quote_ident($1) || ', ' || quote_ident(current_schema()), true)`,
        [schema],
      );
      return work(client);
    });
  return {
    query: <R extends QueryResultRow>(text: string, values?: unknown[]): Promise<QueryResult<R>> =>
      transaction(text.slice(0, 40), (on) => on.query<R>(text, values)),
    transaction,
  };
}
