/** A PostgreSQL, which syncs what it has committed. */
import { access, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { answers, createCluster, postgresCommand } from '../../test/support/postgres-server.ts';
import { containPostgres, postgres as service, POSTGRES_USER } from '../../test/support/services/postgres.ts';
import type { Server } from './server.ts';

const DATABASE = 'meterfold';

/** Run by root it becomes another user, who has to get to its folder. */
async function demandReachable(dir: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  for (let path = dirname(dir); ; path = dirname(path)) {
    if (((await stat(path)).mode & 0o001) === 0)
      throw new Error(
        `PostgreSQL does not run as root, and its user cannot get through ${path}: chmod a+x, or set MF_SERVICES_DIR`,
      );
    if (path === dirname(path)) return;
  }
}

async function command(program: string, dir: string, [port]: readonly [number, number]): Promise<[string, string[]]> {
  await demandReachable(dir);
  const programs = dirname(program);
  const made = await access(join(dir, 'pg', 'PG_VERSION')).then(
    () => true,
    () => false,
  );
  if (!made) await createCluster(programs, dir);
  return postgresCommand(programs, dir, port, { durable: true, dies: false });
}

/** The database that every server has, to make others from. */
const maintenance = (url: string): string => {
  const other = new URL(url);
  other.pathname = '/postgres';
  return other.href;
};

async function furnish(url: string): Promise<void> {
  const database = new URL(url).pathname.slice(1);
  const client = new pg.Client(maintenance(url));
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [database]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${client.escapeIdentifier(database)}`);
  } finally {
    await client.end();
  }
}

export const postgres: Server = {
  service,
  stop: 'SIGINT',
  address: (host, port) => `postgres://${POSTGRES_USER}@${host}:${port}/${DATABASE}`,
  command,
  contain: (image, port) => containPostgres(image, ['max_connections=200'], port),
  answers: (url) => answers({ connectionString: maintenance(url) }),
  furnish,
  settings: (databaseUrl) => ({ databaseUrl }),
};
