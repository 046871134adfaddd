/** Brings the database to the layout of this version. Safe to run from many processes at once: an advisory lock orders them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Pool } from 'pg';
import { type Clock, systemClock } from '../../clock.ts';
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

/** What a version has to know to use the layout. Undefined: layouts of before did not say. */
async function needed(on: Queryable): Promise<string | undefined> {
  const what = 'read what the layout needs';
  const [found] = await run<{ there: boolean }>(on, what, `SELECT to_regclass('layout_needs') IS NOT NULL AS there`);
  if (found?.there !== true) return undefined;
  return (await run<{ step: string }>(on, what, 'SELECT step FROM layout_needs'))[0]?.step;
}

export interface LayoutSteps {
  readonly there: readonly string[];
  readonly missing: readonly string[];
  /** Of a later version, beside which this one may run. */
  readonly newer: readonly string[];
}

/** Throws DATA_DIR_NEWER where this version may not use what a later one has made of the layout, naming what it does not know. */
export async function layoutSteps(on: Queryable): Promise<LayoutSteps> {
  const [mine, there] = [known(), await applied(on)];
  const newer = there.filter((name) => !mine.includes(name));
  const missing = mine.filter((name) => !there.includes(name));
  if (newer.length === 0) return { there, missing, newer };
  const needs = await needed(on);
  if (needs !== undefined && mine.includes(needs)) return { there, missing, newer };
  throw new MeterError(
    'DATA_DIR_NEWER',
    `open the database: its layout has ${newer.join(', ')}, which this version does not know; it needs a version that knows ${needs ?? 'all'}`,
    { allowed: 'start the version that wrote it, or a later one' },
  );
}

/** What a rebuild must begin and end with: one that an older version laid out would take away what a newer one has added. */
export async function demandNewest(on: Queryable, what: string): Promise<void> {
  const { newer } = await layoutSteps(on);
  if (newer.length === 0) return;
  throw new MeterError('DATABASE_UNAVAILABLE', `${what}: this version does not know ${newer.join(', ')} of the layout`, {
    allowed: 'a process of the newer version',
  });
}

/** Longer than `deadlock_timeout`, after which an autovacuum leaves the table to who waits for it. Others wait behind it. */
const LOCK_WITHIN = '3s';
/** Between two tries: those who waited behind go on. */
const AGAIN_MS = 500;
/** Of the tries to get the locks. */
const PATIENCE_MS = 10 * 60_000;
const LOCK_TIMEOUT = '55P03';

const isLockTimeout = (error: unknown): boolean =>
  error instanceof MeterError && error.cause instanceof Error && 'code' in error.cause && error.cause.code === LOCK_TIMEOUT;

/**
 * Writers wait for LOCK_WITHIN at most behind a step that waits for its lock; it is tried again then. Throws DATA_DIR_NEWER where
 * a later version has made the layout unusable for this one, naming what it has; DATABASE_UNAVAILABLE.
 */
export async function migrate(pool: Pool, clock: Clock = systemClock): Promise<void> {
  const began = clock.now();
  for (;;) {
    const { there, missing } = await layoutSteps(pool);
    if (missing.length === 0) return;
    try {
      // A first start is all or nothing; later a step each, so that the locks of one are not kept for the others.
      await apply(pool, there.length === 0);
    } catch (error) {
      if (!isLockTimeout(error) || Math.abs(clock.now() - began) > PATIENCE_MS) throw error;
      await clock.sleep(AGAIN_MS);
    }
  }
}

const silent = (): void => undefined;
const OPTIONS = {
  dir: DIRECTORY,
  direction: 'up',
  migrationsTable: TABLE,
  advisoryLockMode: 'wait',
  logger: { debug: silent, info: silent, warn: silent, error: silent },
} as const;

async function apply(pool: Pool, singleTransaction: boolean): Promise<void> {
  // Loaded only when there is something to do: it costs a tenth of a second.
  const { runner } = await import('node-pg-migrate');
  const what = 'bring the database to the layout of this version';
  const dbClient = await pool.connect().catch((error: unknown) => {
    throw asFailure(error, what);
  });
  try {
    // A step may take longer than a statement should.
    await dbClient.query(`SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', $1, false)`, [
      LOCK_WITHIN,
    ]);
    await runner({ ...OPTIONS, singleTransaction, dbClient });
  } catch (error) {
    throw asFailure(error, what);
  } finally {
    // Not back into the pool: its settings are not those of the others.
    dbClient.release(true);
  }
}
