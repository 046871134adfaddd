/** What follows of an error of PostgreSQL: the one table, by SQLSTATE (PostgreSQL manual, appendix A). */

/**
 * `again`: the transaction is gone and nothing of it happened, so it is tried again after a back-off. `wait`: the server, or the
 * way to it, is not there or has no room; tried again until it has. `elsewhere`: as `wait`, and this connection leads to the
 * wrong server for good, so it is closed. `operator`: no wait helps; stop, and name the way out. Without a row: a defect.
 */
export type Consequence = 'again' | 'wait' | 'elsewhere' | 'operator';

export interface SqlState {
  /** A code, or the class that it begins with. The longest one decides. */
  readonly code: string;
  readonly meaning: string;
  readonly follows: Consequence;
  /** For an operator. */
  readonly wayOut?: string;
}

export const DISK_FULL = '53100';

export const SQLSTATES: readonly SqlState[] = [
  { code: '40', meaning: 'rolled back by a conflict, a deadlock among them', follows: 'again' },
  { code: '55P03', meaning: '`lock_timeout`', follows: 'again' },
  { code: '57014', meaning: '`statement_timeout`, or cancelled', follows: 'again' },
  { code: '25P03', meaning: '`idle_in_transaction_session_timeout`', follows: 'again' },
  { code: '25P04', meaning: '`transaction_timeout`', follows: 'again' },
  { code: '08', meaning: 'the connection failed, or a pooler has none', follows: 'wait' },
  { code: '53', meaning: 'no room: memory (53200), connections (53300), other limits', follows: 'wait' },
  { code: DISK_FULL, meaning: 'the disk is full', follows: 'wait' },
  { code: '57P01', meaning: 'the server shuts down, or the connection was terminated', follows: 'wait' },
  { code: '57P02', meaning: 'the server crashed', follows: 'wait' },
  { code: '57P03', meaning: 'the server starts, or takes no connections yet', follows: 'wait' },
  { code: '57P05', meaning: '`idle_session_timeout`', follows: 'wait' },
  { code: '58030', meaning: 'the disk of the server failed to read or write', follows: 'wait' },
  { code: '25006', meaning: 'read-only: this server is no primary any more', follows: 'elsewhere' },
  {
    code: '28',
    meaning: 'login refused',
    follows: 'operator',
    wayOut: 'a user that pg_hba.conf lets in from here, with its password',
  },
  { code: '28P01', meaning: 'wrong password', follows: 'operator', wayOut: 'the right user and password' },
  {
    code: '3D000',
    meaning: 'there is no such database',
    follows: 'operator',
    wayOut: 'a database that is there: Meterfold makes none',
  },
  {
    code: '42501',
    meaning: 'a right is missing',
    follows: 'operator',
    wayOut: 'a user with the right to connect, and the owner of the tables, or a role that it is in',
  },
];

/** The row that decides of a code. */
export const sqlState = (code: string): SqlState | undefined =>
  SQLSTATES.filter((row) => code.startsWith(row.code)).sort((a, b) => b.code.length - a.code.length)[0];
