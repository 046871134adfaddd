/** Connections to PostgreSQL: types, errors by their class, and transactions. */
import pg, { type Pool, type PoolClient, type PoolConfig, type QueryResult, type QueryResultRow } from 'pg';
import { type FailureCode, MeterError } from '../../errors.ts';

export interface PoolOptions {
  readonly max: number;
  /** Told when an idle connection fails; the pool replaces it by itself. */
  readonly onIdleError?: (error: Error) => void;
}

const INT8 = 20;
/** int8 as a number; one beyond 2^53 is a defect, not a rounding. Numeric stays text. */
const types = new pg.TypeOverrides();
types.setTypeParser(INT8, (text: string) => {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`int8 ${text} is beyond 2^53`);
  return value;
});

export function openPool(connection: PoolConfig, { max, onIdleError }: PoolOptions): Pool {
  const pool = new pg.Pool({ ...connection, max, types, application_name: 'meterfold', connectionTimeoutMillis: 10_000 });
  // Without a listener the failure of an idle connection would end the process.
  pool.on('error', (error) => onIdleError?.(error));
  return pool;
}

/** SQLSTATE classes and socket errors that pass by themselves (PostgreSQL 15 manual, appendix A). */
const PASSING = /^(08|40|53|55P03|57P0[1-5]|57014|58030)/;
const SOCKET = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN']);
const CLOSED = /terminat|Connection ended|timeout exceeded|not queryable|Client has encountered/i;

export function isPassing(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return PASSING.test(code) || SOCKET.has(code) || (code === '' && CLOSED.test(error.message));
}

/** What is known to pass becomes a MeterError; the rest is a defect and stays as it is. */
export function asFailure(error: unknown, what: string, code: FailureCode = 'DATABASE_UNAVAILABLE'): unknown {
  if (error instanceof MeterError || !isPassing(error)) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new MeterError(code, `${what}: ${message}`, { cause: error, retryAfterMs: 1000 });
}

export interface Queryable {
  query<R extends QueryResultRow>(text: string, values?: unknown[]): Promise<QueryResult<R>>;
}

/** One statement. `what` names the attempt in errors. */
export async function run<R extends QueryResultRow>(
  on: Queryable,
  what: string,
  text: string,
  values: readonly unknown[] = [],
): Promise<R[]> {
  try {
    return (await on.query<R>(text, [...values])).rows;
  } catch (error) {
    throw asFailure(error, what);
  }
}

/** READ COMMITTED. Between BEGIN and COMMIT `work` must await this client's statements only: the embedded server has one session. */
export async function inTransaction<T>(pool: Pool, what: string, work: (client: PoolClient) => Promise<T>): Promise<T> {
  let client: PoolClient;
  try {
    client = await pool.connect();
  } catch (error) {
    throw asFailure(error, what);
  }
  let broken: Error | undefined;
  // A checked-out client that loses its connection tells nobody but its own listener.
  const onError = (error: Error): void => void (broken = error);
  client.on('error', onError);
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch((cause: unknown) => {
      broken ??= cause instanceof Error ? cause : new Error(String(cause));
    });
    throw asFailure(error, what);
  } finally {
    client.off('error', onError);
    client.release(broken);
  }
}
