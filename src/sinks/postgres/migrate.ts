/** Brings the database to the layout of this version. Safe to run from many processes at once: an advisory lock orders them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Pool } from 'pg';
import { MeterError } from '../../errors.ts';
import { asFailure, type Queryable, run } from './pool.ts';

const DIRECTORY = fileURLToPath(new URL('./migrations', import.meta.url));
const TABLE = 'layout';

const known = (): string[] =>
  readdirSync(DIRECTORY)
    .filter((file) => file.endsWith('.sql'))
    .map((file) => file.slice(0, -'.sql'.length))
    .sort();

/** The layout of this version, text by text, for a schema that is empty. */
export const layoutTexts = (): readonly string[] =>
  known().map((name) => readFileSync(join(DIRECTORY, `${name}.sql`), 'utf8'));
/** What the layout is known by: its last step. */
export const layoutName = (): string => known().at(-1) ?? '';

async function applied(on: Queryable): Promise<string[]> {
  const [found] = await run<{ there: boolean }>(on, 'read the layout', `SELECT to_regclass($1) IS NOT NULL AS there`, [
    TABLE,
  ]);
  if (found?.there !== true) return [];
  return (await run<{ name: string }>(on, 'read the layout', `SELECT name FROM ${TABLE} ORDER BY name`)).map(
    ({ name }) => name,
  );
}

/** Steps of the layout that are there and that are not. Throws DATA_DIR_NEWER, naming what this version does not know. */
export async function layoutSteps(
  on: Queryable,
): Promise<{ readonly there: readonly string[]; readonly missing: readonly string[] }> {
  const [mine, there] = [known(), await applied(on)];
  const newer = there.filter((name) => !mine.includes(name));
  if (newer.length === 0) return { there, missing: mine.filter((name) => !there.includes(name)) };
  throw new MeterError(
    'DATA_DIR_NEWER',
    `open the database: its layout has ${newer.join(', ')}, which this version does not know`,
    { allowed: 'start the version that wrote it, or a later one' },
  );
}

/** Throws DATA_DIR_NEWER where the database was written by a later version, naming what it has; DATABASE_UNAVAILABLE. */
export async function migrate(pool: Pool): Promise<void> {
  const { missing } = await layoutSteps(pool);
  if (missing.length === 0) return;
  await apply(pool);
}

const silent = (): void => undefined;
const OPTIONS = {
  dir: DIRECTORY,
  direction: 'up',
  migrationsTable: TABLE,
  advisoryLockMode: 'wait',
  singleTransaction: true,
  logger: { debug: silent, info: silent, warn: silent, error: silent },
} as const;

async function apply(pool: Pool): Promise<void> {
  // Loaded only when there is something to do: it costs a tenth of a second.
  const { runner } = await import('node-pg-migrate');
  const what = 'bring the database to the layout of this version';
  const dbClient = await pool.connect().catch((error: unknown) => {
    throw asFailure(error, what);
  });
  try {
    // Waiting for another process that migrates, and a migration itself, may take longer than a statement should.
    await dbClient.query('SET statement_timeout = 0');
    await runner({ ...OPTIONS, dbClient });
  } catch (error) {
    throw asFailure(error, what);
  } finally {
    // Not back into the pool: its settings are not those of the others.
    dbClient.release(true);
  }
}
