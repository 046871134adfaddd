/** A real PostgreSQL of one's own: a direct child process, in a temporary directory, on a free port. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import pg from 'pg';
import { freePort } from './free-port.ts';

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

const USER = 'meterfold';

/** The newest server programs of this machine: Debian keeps them off PATH. */
export function postgresPrograms(): string | undefined {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const places = [...versions.map((version) => join(debian, version, 'bin')), ...(process.env.PATH ?? '').split(delimiter)];
  return places.find((place) => existsSync(join(place, 'postgres')) && existsSync(join(place, 'initdb')));
}

export const postgresVersion = (programs: string): string =>
  execFileSync(join(programs, 'postgres'), ['--version'], { encoding: 'utf8' })
    .replace(/^.*\) /, '')
    .split(' ')[0]!
    .trim();

const isRoot = process.getuid?.() === 0;

function idOf(flag: '-u' | '-g'): number {
  return Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
}

/** PostgreSQL refuses to run as root: as its own user then. It dies with whoever started it. */
function command(program: string, args: readonly string[]): [string, string[]] {
  if (!isRoot) return [program, [...args]];
  const become = ['--reuid=postgres', '--regid=postgres', '--init-groups', '--pdeathsig=QUIT'];
  return ['setpriv', [...become, program, ...args]];
}

/** Settings of a server whose kill must lose nothing, or of one that only has to be quick. */
const settings = (durable: boolean): string[] => {
  const on = durable ? 'on' : 'off';
  return [`fsync=${on}`, `full_page_writes=${on}`, `synchronous_commit=${on}`, 'max_connections=200', 'shared_buffers=64MB'];
};

async function answers(connection: Connection): Promise<boolean> {
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
  const data = join(dir, 'pg');
  const options = [
    `port=${connection.port}`,
    'listen_addresses=127.0.0.1',
    `unix_socket_directories=${dir}`,
    ...settings(durable),
  ];
  const [program, args] = command(join(programs, 'postgres'), ['-D', data, ...options.flatMap((option) => ['-c', option])]);
  const until = performance.now() + DEADLINE_MS;
  for (let said = ''; performance.now() < until;) {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.on('data', (text: Buffer) => (said = (said + text.toString()).slice(-4000)));
    while (child.exitCode === null && child.signalCode === null && performance.now() < until) {
      if (await answers(connection)) return child;
    }
    // After a SIGKILL the children of the last one need a moment to leave; until then the new one refuses.
    if (!/lock file|shared memory/.test(said)) throw new Error(`postgres in ${data} did not start:\n${said}`);
  }
  throw new Error(`postgres in ${data} did not answer in ${DEADLINE_MS} ms`);
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
  const programs = postgresPrograms();
  if (programs === undefined) throw new Error('start postgres: no server program on this machine');
  const dir = mkdtempSync(join(within, 'meterfold-postgres-'));
  await mkdir(join(dir, 'pg'));
  await chmod(dir, 0o755);
  if (isRoot) for (const path of [dir, join(dir, 'pg')]) chownSync(path, idOf('-u'), idOf('-g'));
  const init = ['-D', join(dir, 'pg'), '-U', USER, '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'];
  execFileSync(...command(join(programs, 'initdb'), init), { stdio: 'pipe' });
  const connection = { host: '127.0.0.1', port: await freePort(), user: USER, database: 'postgres' };
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
