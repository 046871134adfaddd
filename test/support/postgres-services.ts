/** Suites on the databases: PGlite, which is always there, and PostgreSQL. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll } from 'vitest';
import { type EmbeddedDatabase, openEmbedded } from '../../src/embedded/pglite.ts';
import {
  answers,
  type Connection,
  createDatabase,
  pgliteVersion,
  type PostgresServer,
  startPostgres,
} from './postgres-server.ts';
import { untilWithin } from './poll.ts';
import { containPostgres, postgres, POSTGRES_USER } from './services/postgres.ts';
import { describeOn, describeService } from './services/suites.ts';
import type { Found } from './services/ways.ts';

export interface TestDatabase {
  readonly kind: 'pglite' | 'postgres';
  /** With its version, for titles and the report. */
  readonly name: string;
  /** An empty database. PGlite has one only: a second call empties the first. */
  empty(): Promise<Connection>;
  close(): Promise<void>;
}

const until = untilWithin(60_000);

async function once(connection: Connection, text: string): Promise<void> {
  const client = new pg.Client(connection);
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}

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
function postgresAt(name: string, to: Connection): TestDatabase {
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

function connectionOf(url: string): Connection {
  const { hostname, port, username, password, pathname } = new URL(url);
  return {
    host: decodeURIComponent(hostname),
    port: Number(port === '' ? '5432' : port),
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    database: pathname.slice(1) === '' ? 'postgres' : pathname.slice(1),
  };
}

function containedPostgres(name: string, image: string): TestDatabase {
  let server: Promise<{ readonly database: TestDatabase; readonly stop: () => Promise<void> }> | undefined;
  const start = async () => {
    const { host, port, stop } = await containPostgres(image);
    const connection = { host, port, user: POSTGRES_USER, database: 'postgres' };
    // The image starts it twice: the first time for its own settings, and on no port.
    await until(`PostgreSQL in Docker answers on ${port}`, () => answers(connection));
    return { database: postgresAt(name, connection), stop };
  };
  return {
    kind: 'postgres',
    name,
    empty: async () => (await (server ??= start())).database.empty(),
    close: async () => void (await (await server)?.stop()),
  };
}

function open(found: Found): TestDatabase {
  switch (found.way) {
    case 'given':
      return postgresAt(found.server, connectionOf(found.url));
    case 'Docker':
      return containedPostgres(found.server, found.image);
    case 'program':
    case 'fetched':
      return ownPostgres(found.server);
  }
}

function withDatabase(database: TestDatabase, suite: (database: TestDatabase) => void): void {
  afterAll(() => database.close());
  suite(database);
}

/** The suite on a real PostgreSQL alone. */
export function describePostgres(title: string, suite: (database: TestDatabase) => void): void {
  describeService(title, postgres, 'any', (found) => withDatabase(open(found), suite));
}

/** The suite where this machine can start servers of its own, to be killed. */
export function describeOwnPostgres(title: string, suite: () => void): void {
  describeService(title, postgres, 'own', suite);
}

/** The suite once for each database. */
export function describeEachDatabase(title: string, suite: (database: TestDatabase) => void): void {
  const embedded = pglite();
  describeOn(title, embedded.name, 'package', () => withDatabase(embedded, suite));
  describePostgres(title, suite);
}
