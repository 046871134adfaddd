/** Connections to PostgreSQL: types, errors by their class, and transactions. */
import pg, { type Pool, type PoolClient, type PoolConfig, type QueryResult, type QueryResultRow } from 'pg';
import { asError, type FailureCode, MeterError } from '../../errors.ts';
import { type Consequence, sqlState } from './sqlstates.ts';

/** How long a session may take, ms. Each ends in a failure that passes: what was under way is tried again. */
export interface SessionLimits {
  readonly statementTimeoutMs: number;
  readonly lockTimeoutMs: number;
  /** A process that hangs with locks held. */
  readonly idleInTransactionTimeoutMs: number;
}

export interface PoolOptions extends Partial<SessionLimits> {
  readonly max: number;
  /** Also the wait for one of few connections: the embedded server has one session, and a start may keep it busy. */
  readonly connectTimeoutMs?: number;
  /** `application_name`: who it is, in pg_stat_activity and the server's log. */
  readonly application?: string;
  /** Told when an idle connection fails; the pool replaces it by itself. */
  readonly onIdleError?: (error: Error) => void;
}

const LIMITS: SessionLimits = { statementTimeoutMs: 30_000, lockTimeoutMs: 10_000, idleInTransactionTimeoutMs: 30_000 };

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
  set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false),
  set_config('idle_in_transaction_session_timeout', $3, false)`;

/** Connections are made when they are needed; the first use throws where none can be made. */
export function openPool(connection: PoolConfig, options: PoolOptions): Pool {
  const { max, connectTimeoutMs = 30_000, application = 'meterfold', onIdleError } = options;
  const { statementTimeoutMs, lockTimeoutMs, idleInTransactionTimeoutMs } = { ...LIMITS, ...options };
  const limits = [statementTimeoutMs, lockTimeoutMs, idleInTransactionTimeoutMs].map((ms) => `${ms}ms`);
  const pool = new pg.Pool({
    ...connection,
    max,
    types,
    application_name: application,
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    // The pool awaits it, whatever its type says: a connection is not handed out before.
    // eslint-disable-next-line @typescript-eslint/no-misused-promises
    onConnect: async (client) => void (await client.query(SESSION, limits)),
  });
  // Without a listener the failure of an idle connection would end the process.
  pool.on('error', (error) => onIdleError?.(error));
  return pool;
}

const SOCKET = new Set(
  'ECONNREFUSED ECONNRESET ECONNABORTED ENOENT EPIPE ETIMEDOUT EHOSTUNREACH ENETUNREACH ENETDOWN ENOTFOUND EAI_AGAIN'.split(
    ' ',
  ),
);
/** Errors of `pg` itself have no code. */
const CLOSED = /terminat|Connection ended|timeout exceeded|not queryable|Client has encountered/i;

const codeOf = (error: Error): string => ('code' in error && typeof error.code === 'string' ? error.code : '');

/** What follows of it, by the table of SQLSTATEs; undefined: a defect. */
function consequenceOf(error: unknown): Consequence | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = codeOf(error);
  if (SOCKET.has(code) || (code === '' && CLOSED.test(error.message))) return 'wait';
  return sqlState(code)?.follows;
}

/** Whether it passes by itself. */
export function isPassing(error: unknown): boolean {
  const follows = consequenceOf(error);
  return follows !== undefined && follows !== 'operator';
}

/** What is known to pass, or what an operator has to do, becomes a MeterError; the rest is a defect and stays as it is. */
export function asFailure(error: unknown, what: string, code: FailureCode = 'DATABASE_UNAVAILABLE'): unknown {
  if (error instanceof MeterError || !(error instanceof Error)) return error;
  const message = `${what}: ${error.message}`;
  if (isPassing(error)) return new MeterError(code, message, { cause: error, retryAfterMs: 1000 });
  const wayOut = sqlState(codeOf(error))?.wayOut;
  if (wayOut === undefined) return error;
  return new MeterError('DATABASE_MISCONFIGURED', message, { field: 'databaseUrl', allowed: wayOut, cause: error });
}

/** Of what a MeterError was made of, too. */
const isElsewhere = (error: unknown): boolean =>
  consequenceOf(error) === 'elsewhere' || (error instanceof MeterError && isElsewhere(error.cause));

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
    // A primary that was demoted stays reachable, and would refuse the next transaction as well.
    if (isElsewhere(error)) broken ??= asError(error);
    await client.query('ROLLBACK').catch((cause: unknown) => {
      broken ??= asError(cause);
    });
    throw asFailure(error, what);
  } finally {
    client.off('error', onError);
    client.release(broken);
  }
}
