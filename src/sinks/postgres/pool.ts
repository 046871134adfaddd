/** Connections to PostgreSQL: types, errors by their class, and transactions. */
import pg, { type Pool, type PoolClient, type PoolConfig, type QueryResult, type QueryResultRow } from 'pg';
import { type FailureCode, MeterError } from '../../errors.ts';

export interface PoolOptions {
  readonly max: number;
  /** Told when an idle connection fails; the pool replaces it by itself. */
  readonly onIdleError?: (error: Error) => void;
}

/** Type ids of pg_type: bigint, date and the two timestamps. */
const [INT8, DATE, TIMESTAMP, TIMESTAMPTZ] = [20, 1082, 1114, 1184];

const types = new pg.TypeOverrides();
/** A number; one beyond 2^53 is a defect, not a rounding. Numeric stays text. */
types.setTypeParser(INT8, (text: string) => {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`int8 ${text} is beyond 2^53`);
  return value;
});
// Times stay text, in UTC: a Date would cut microseconds off and turn a date by the machine's zone.
for (const type of [DATE, TIMESTAMP, TIMESTAMPTZ]) types.setTypeParser(type, (text: string) => text);

/**
 * What a session must have, whatever the server's defaults. An acknowledged append must be on disk (rule P4), and the
 * statements of a publish need a snapshot each. The embedded server has no timers: the limits do nothing there.
 */
const SESSION = `SELECT set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO, YMD', false),
  set_config('default_transaction_isolation', 'read committed', false),
  set_config('synchronous_commit', coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), false),
  set_config('statement_timeout', '30s', false), set_config('idle_in_transaction_session_timeout', '30s', false)`;

/** Connections are made when they are needed; the first use throws where none can be made. */
export function openPool(connection: PoolConfig, { max, onIdleError }: PoolOptions): Pool {
  const pool = new pg.Pool({
    ...connection,
    max,
    types,
    application_name: 'meterfold',
    // Also the wait for one of few connections: the embedded server has one session, and a start may keep it busy.
    connectionTimeoutMillis: 30_000,
    keepAlive: true,
    // The pool awaits it, whatever its type says: a connection is not handed out before.
    // eslint-disable-next-line @typescript-eslint/no-misused-promises
    onConnect: async (client) => void (await client.query(SESSION)),
  });
  // Without a listener the failure of an idle connection would end the process.
  pool.on('error', (error) => onIdleError?.(error));
  return pool;
}

/**
 * SQLSTATE classes that pass by themselves (PostgreSQL manual, appendix A): connection, rollback by conflict, resources, lock
 * or statement timeout, shutdown, input or output error; 25006 is a server that is no primary, for now.
 */
const PASSING = /^(08|40|53|25006|55P03|57P0[1-5]|57014|58030)/;
const SOCKET = new Set(
  'ECONNREFUSED ECONNRESET ECONNABORTED ENOENT EPIPE ETIMEDOUT EHOSTUNREACH ENETUNREACH ENETDOWN ENOTFOUND EAI_AGAIN'.split(
    ' ',
  ),
);
/** Errors of `pg` itself have no code. */
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

/**
 * READ COMMITTED; commits when `work` resolves, rolls back when it throws. A failure of the commit itself leaves open which.
 * Between BEGIN and COMMIT `work` must await this client's statements only: the embedded server has one session.
 */
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
    await client.query('BEGIN ISOLATION LEVEL READ COMMITTED');
    const result = await work(client);
    const { command } = await client.query('COMMIT');
    // The server answers so where a statement had failed and `work` did not say so.
    if (command !== 'COMMIT')
      throw new Error(`${what}: the transaction was rolled back, because a statement in it had failed`);
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
