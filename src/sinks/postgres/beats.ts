/** What makes a database known that was put back to an earlier state: a count that only grows, and an incarnation. */
import type { Beats, DatabaseState } from '../../contract.ts';
import { MeterError } from '../../errors.ts';
import { type Queryable, run } from './pool.ts';

const COLUMNS = 'incarnation::text AS incarnation, restores, beat';
const NEXT = `UPDATE installation SET beat = beat + 1 RETURNING ${COLUMNS}`;
const RENEW = `UPDATE installation SET incarnation = $1, restores = restores + 1, restored_at = now(), beat = greatest(beat, $2) + 1
  RETURNING ${COLUMNS}`;

async function stateOf(on: Queryable, what: string, text: string, values: readonly unknown[] = []): Promise<DatabaseState> {
  const [row] = await run<DatabaseState & Record<string, unknown>>(on, what, text, values);
  if (row === undefined) throw new MeterError('DATABASE_UNAVAILABLE', `${what}: nothing is recorded`);
  return row;
}

/** Behind `recordInstallation`. */
export const postgresBeats = (on: Queryable): Beats => ({
  last: () => stateOf(on, 'read the beat', `SELECT ${COLUMNS} FROM installation`),
  next: () => stateOf(on, 'count the beat on', NEXT),
  renew: (incarnation, told) => stateOf(on, 'record that the database was restored', RENEW, [incarnation, told]),
});
