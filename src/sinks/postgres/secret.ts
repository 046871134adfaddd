/** Which secret the privacy rules hash under: its print is recorded, and another secret is refused. */
import type { Pool } from 'pg';
import { MeterError } from '../../errors.ts';
import { type Queryable, run } from './pool.ts';

interface Row {
  readonly privacy_secret: string | null;
  readonly [column: string]: unknown;
}

const RECORD = 'UPDATE installation SET privacy_secret = $1 WHERE privacy_secret IS NULL';

/** Behind `recordInstallation`. Throws INSTALLATION_DIFFERS: under another secret equal values would no longer be equal. */
export async function recordSecret(pool: Pool, print: string | undefined): Promise<void> {
  if (print !== undefined) await run(pool, 'record the print of the privacy secret', RECORD, [print]);
  await demandSecret(pool, print);
}

/** Throws INSTALLATION_DIFFERS as above, and records nothing. */
export async function demandSecret(on: Queryable, print: string | undefined): Promise<void> {
  const [row] = await run<Row>(on, 'read the print of the privacy secret', 'SELECT privacy_secret FROM installation');
  if ((row?.privacy_secret ?? undefined) === print) return;
  const is = print === undefined ? 'is missing' : 'is another';
  throw new MeterError('INSTALLATION_DIFFERS', `start: the privacy secret ${is} than at the first start`, {
    field: 'privacySecret',
    allowed: 'the secret of the first start: values that were hashed under it would no longer be equal',
  });
}
