/** A real PostgreSQL of one's own: a direct child process, in a temporary directory, on a free port. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, mkdtempSync, readFileSync } from 'node:fs';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { freePort } from './free-port.ts';
import { postgres, POSTGRES_USER } from './services/postgres.ts';
import { ownProgram } from './services/ways.ts';

export interface Connection {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly password?: string;
}

export interface PostgresServer {
  /** To the maintenance database: `createDatabase` makes others. */
  readonly connection: Connection;
  createDatabase(): Promise<Connection>;
  /** Resolves once the process is gone. SIGQUIT: immediate shutdown; SIGINT: fast. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same data and port. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

const isRoot = process.getuid?.() === 0;

function idOf(flag: '-u' | '-g'): number {
  return Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
}

/** PostgreSQL refuses to run as root: as its own user then. */
function command(program: string, args: readonly string[], more: readonly string[] = []): [string, string[]] {
  if (!isRoot) return [program, [...args]];
  return ['setpriv', ['--reuid=postgres', '--regid=postgres', '--init-groups', ...more, program, ...args]];
}

/** What starts the server on what `createCluster` made; `dies`: with whoever started it. */
export function postgresCommand(
  programs: string,
  dir: string,
  port: number,
  { durable, dies }: { readonly durable: boolean; readonly dies: boolean },
): [string, string[]] {
  const place = [`port=${port}`, 'listen_addresses=127.0.0.1', `unix_socket_directories=${dir}`];
  const args = ['-D', join(dir, 'pg'), ...[...place, ...settings(durable)].flatMap((setting) => ['-c', setting])];
  return command(join(programs, 'postgres'), args, dies ? ['--pdeathsig=QUIT'] : []);
}

/** A new cluster in `dir`, of whom it runs as. */
export async function createCluster(programs: string, dir: string): Promise<void> {
  const data = join(dir, 'pg');
  await mkdir(data, { recursive: true });
  await chmod(dir, 0o755);
  if (isRoot) for (const path of [dir, data]) chownSync(path, idOf('-u'), idOf('-g'));
  const init = ['-D', data, '-U', POSTGRES_USER, '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'];
  execFileSync(...command(join(programs, 'initdb'), init), { stdio: 'pipe' });
}

/** Settings of a server whose kill must lose nothing, or of one that only has to be quick. */
const settings = (durable: boolean): string[] => {
  const on = durable ? 'on' : 'off';
  return [`fsync=${on}`, `full_page_writes=${on}`, `synchronous_commit=${on}`, 'max_connections=200', 'shared_buffers=64MB'];
};

export async function answers(connection: pg.ClientConfig): Promise<boolean> {
  const client = new pg.Client({ ...connection, connectionTimeoutMillis: 2000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

const DEADLINE_MS = 20_000;

/** One run of the server on a data directory. */
async function run(programs: string, dir: string, connection: Connection, durable: boolean): Promise<ChildProcess> {
  const [program, args] = postgresCommand(programs, dir, connection.port, { durable, dies: true });
  const until = performance.now() + DEADLINE_MS;
  for (let said = ''; performance.now() < until;) {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.on('data', (text: Buffer) => (said = (said + text.toString()).slice(-4000)));
    while (child.exitCode === null && child.signalCode === null && performance.now() < until) {
      if (await answers(connection)) return child;
    }
    // After a SIGKILL the children of the last one need a moment to leave; until then the new one refuses.
    if (!/lock file|shared memory/.test(said)) throw new Error(`postgres in ${dir} did not start:\n${said}`);
  }
  throw new Error(`postgres in ${dir} did not answer in ${DEADLINE_MS} ms`);
}

const ended = (child: ChildProcess): Promise<void> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve()
    : new Promise((resolve) => child.once('exit', () => resolve()));

/** `durable`: syncs like a production server, for tests that kill it. */
export async function startPostgres({
  durable = false,
  within = tmpdir(),
}: {
  readonly durable?: boolean;
  /** The directory that holds its own: a disk of its own, to be filled. */
  readonly within?: string;
} = {}): Promise<PostgresServer> {
  const programs = dirname(ownProgram(postgres).path);
  const dir = mkdtempSync(join(within, 'meterfold-postgres-'));
  await createCluster(programs, dir);
  const connection = { host: '127.0.0.1', port: await freePort(), user: POSTGRES_USER, database: 'postgres' };
  let child = await run(programs, dir, connection, durable);
  let databases = 0;
  const kill = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await ended(child);
  };
  return {
    connection,
    kill,
    createDatabase: () => createDatabase(connection, `test_${(databases += 1)}`),
    restart: async () => {
      child = await run(programs, dir, connection, durable);
    },
    stop: async () => {
      await kill('SIGQUIT');
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** A fresh database on the server of `connection`. */
export async function createDatabase(connection: Connection, name: string): Promise<Connection> {
  const client = new pg.Client(connection);
  await client.connect();
  try {
    await client.query(`CREATE DATABASE ${name}`);
  } finally {
    await client.end();
  }
  return { ...connection, database: name };
}

/** The version of PGlite, as its package says. */
export const pgliteVersion = (): string => {
  const path = new URL('../../node_modules/@electric-sql/pglite/package.json', import.meta.url);
  const { version }: { version: string } = JSON.parse(readFileSync(path, 'utf8'));
  return version;
};
