/** What the setting `logModule` names where a test puts the database back and the log is to go on: a log in a database of its own. */
import type { LogModuleOptions, OpenedLog } from '../../src/log-module.ts';
import { migrate } from '../../src/sinks/postgres/migrate.ts';
import { openPool } from '../../src/sinks/postgres/pool.ts';
import { openPostgresLog } from '../../src/sources/postgres.ts';

export const VARIABLE = 'MF_TEST_LOG_DATABASE';

export async function openLog({ config: { partitions }, clock }: LogModuleOptions): Promise<OpenedLog> {
  const pool = openPool({ connectionString: process.env[VARIABLE] ?? '' }, { max: 4 });
  await migrate(pool);
  const log = await openPostgresLog({ pool, partitions, clock });
  const close = async (): Promise<void> => {
    await log.close();
    await pool.end();
  };
  return { ...log, close };
}
