/**
 * Which databases the suites run against, and how to get one: PGlite always; PostgreSQL by METERFOLD_TEST_POSTGRES_URL, by
 * a program on this machine, or from the package manager where CI=true or MF_SERVICES=fetch. In CI a missing one fails.
 */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import pg from 'pg';
import { afterAll, describe, test } from 'vitest';
import { type EmbeddedDatabase, openEmbedded } from '../../src/embedded/pglite.ts';
import {
  type Connection,
  createDatabase,
  pgliteVersion,
  postgresPrograms,
  type PostgresServer,
  postgresVersion,
  startPostgres,
} from './postgres-server.ts';

export interface TestDatabase {
  readonly kind: 'pglite' | 'postgres';
  /** With its version, for titles and the report. */
  readonly name: string;
  /** An empty database. PGlite has one only: a second call empties the first. */
  empty(): Promise<Connection>;
  close(): Promise<void>;
}

type Found = { readonly kind: 'pglite' | 'postgres'; readonly name: string; readonly open: () => TestDatabase };

const isCi = process.env.CI === 'true';

function pglite(): TestDatabase {
  let opened: Promise<EmbeddedDatabase> | undefined;
  return {
    kind: 'pglite',
    name: `PGlite ${pgliteVersion()}`,
    empty: async () => {
      const { connection } = await (opened ??= openEmbedded({}));
      await once(connection, 'DROP SCHEMA public CASCADE; CREATE SCHEMA public');
      return connection;
    },
    close: async () => void (await (await opened)?.close()),
  };
}

async function once(connection: Connection | pg.ClientConfig, text: string): Promise<string> {
  const client = new pg.Client(connection);
  await client.connect();
  try {
    // Several statements answer a list of results, which the types do not say.
    const result: unknown = await client.query(text);
    const { rows } = (Array.isArray(result) ? result.at(-1) : result) as pg.QueryResult<{ answer?: string }>;
    return rows[0]?.answer ?? '';
  } finally {
    await client.end();
  }
}

function ownPostgres(name: string): TestDatabase {
  let server: Promise<PostgresServer> | undefined;
  return {
    kind: 'postgres',
    name,
    empty: async () => (await (server ??= startPostgres())).createDatabase(),
    close: async () => void (await (await server)?.stop()),
  };
}

/** A server that is not ours: its databases are removed again. */
function givenPostgres(name: string, url: string): TestDatabase {
  const { hostname, port, username, password, pathname } = new URL(url);
  const to = {
    host: decodeURIComponent(hostname),
    port: Number(port === '' ? '5432' : port),
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    database: pathname.slice(1) === '' ? 'postgres' : pathname.slice(1),
  };
  const made: string[] = [];
  return {
    kind: 'postgres',
    name,
    empty: () => {
      const database = `meterfold_test_${randomUUID().replaceAll('-', '')}`;
      made.push(database);
      return createDatabase(to, database);
    },
    close: async () => {
      for (const database of made) await once(to, `DROP DATABASE ${database} WITH (FORCE)`);
    },
  };
}

/** Whether what a suite needs may be fetched. */
export const mayFetch = isCi || process.env.MF_SERVICES === 'fetch';

/** From the package manager. */
export function aptInstall(name: string): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = ['-o', 'DPkg::Lock::Timeout=300', '-y', '--no-install-recommends', 'install', name];
  execFileSync('apt-get', ['update'], { env, stdio: 'pipe' });
  execFileSync('apt-get', apt, { env, stdio: 'pipe' });
}

/** Installs the server where that was asked for. */
function fetchPostgres(): string | undefined {
  if (!mayFetch) return undefined;
  aptInstall('postgresql-15');
  return postgresPrograms();
}

function findPostgres(): Found | undefined {
  const url = process.env.METERFOLD_TEST_POSTGRES_URL;
  if (url !== undefined && url !== '') {
    const name = `PostgreSQL at ${new URL(url).host}`;
    return { kind: 'postgres', name, open: () => givenPostgres(name, url) };
  }
  const programs = postgresPrograms() ?? fetchPostgres();
  if (programs === undefined) return undefined;
  const name = `PostgreSQL ${postgresVersion(programs)}`;
  return { kind: 'postgres', name, open: () => ownPostgres(name) };
}

/** PGlite, and PostgreSQL where there is one. */
export function servers(): readonly Found[] {
  const embedded: Found = { kind: 'pglite', name: `PGlite ${pgliteVersion()}`, open: pglite };
  const real = findPostgres();
  return real === undefined ? [embedded] : [embedded, real];
}

/** A line a suite for the table of what ran against which server (MF_SUITE_REPORT names the file). */
export function report(suite: string, server: string, outcome: 'ran' | 'missing'): void {
  const path = process.env.MF_SUITE_REPORT;
  if (path !== undefined && path !== '') appendFileSync(path, `${JSON.stringify({ suite, server, outcome })}\n`);
}

/** Whether this machine can start a server of its own, for tests that kill it. */
export const canStartPostgres = (): boolean => (postgresPrograms() ?? fetchPostgres()) !== undefined;

/** The suite once for each database. In CI a missing PostgreSQL is a failing test; elsewhere it is reported as missing. */
export function describeEachDatabase(title: string, suite: (database: TestDatabase) => void): void {
  const found = servers();
  for (const { name, open } of found) {
    describe(`${title} on ${name}`, () => {
      const database = open();
      afterAll(async () => {
        await database.close();
        report(title, name, 'ran');
      });
      suite(database);
    });
  }
  if (!found.some(({ kind }) => kind === 'postgres')) missingPostgres(title);
}

/** The suite on a real PostgreSQL alone. */
export function describePostgres(title: string, suite: (database: TestDatabase) => void): void {
  const real = servers().find(({ kind }) => kind === 'postgres');
  if (real === undefined) {
    missingPostgres(title);
    return;
  }
  describe(`${title} on ${real.name}`, () => {
    const database = real.open();
    afterAll(async () => {
      await database.close();
      report(title, real.name, 'ran');
    });
    suite(database);
  });
}

function missingPostgres(title: string): void {
  missing(title, 'PostgreSQL', 'set METERFOLD_TEST_POSTGRES_URL, or install postgresql-15');
}

/** A suite without its server: a failing test in CI, reported as missing elsewhere. */
export function missing(title: string, server: string, wayOut: string): void {
  test.runIf(isCi)(`${title} needs ${server} in CI`, () => {
    throw new Error(`no ${server}: ${wayOut}`);
  });
  test.skipIf(isCi)(`${title} on ${server}: not on this machine`, (context) => {
    report(title, server, 'missing');
    context.skip();
  });
}
