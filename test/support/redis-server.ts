/** A real Redis of one's own: a direct child process, in a temporary directory, on a free port of 127.0.0.1. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from './free-port.ts';

export interface RedisServer {
  readonly port: number;
  readonly url: string;
  /** The pid of the process that runs now: for SIGSTOP, and to ask what it used. */
  pid(): number;
  /** Resolves once the process is gone. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts it again in the same place: with what it had saved, which is nothing unless `settings` say so. */
  restart(settings?: readonly string[]): Promise<void>;
  /** A connection for what a test does to the server. Closed with it. */
  admin(): Redis;
  stop(): Promise<void>;
}

export const redisProgram = (): string | undefined =>
  (process.env.PATH ?? '')
    .split(delimiter)
    .map((place) => join(place, 'redis-server'))
    .find((path) => existsSync(path));

export const redisVersion = (program: string): string =>
  /v=(\S+)/.exec(execFileSync(program, ['--version'], { encoding: 'utf8' }))?.[1] ?? 'of an unknown version';

const DEADLINE_MS = 20_000;

/** Asks again until it holds; what was thrown last is thrown at the deadline. */
export async function until<T>(what: string, work: () => Promise<T | undefined | false>, ms = DEADLINE_MS): Promise<T> {
  const end = performance.now() + ms;
  let last: unknown;
  while (performance.now() < end) {
    try {
      const found = await work();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not within ${ms} ms: ${what}`, { cause: last });
}

/** A client that gives up at once and says nothing on its own. */
export function client(port: number, options: Record<string, unknown> = {}): Redis {
  const redis = new Redis({ host: '127.0.0.1', port, retryStrategy: () => 50, maxRetriesPerRequest: 1, ...options });
  redis.on('error', () => undefined);
  return redis;
}

export async function startRedis(
  settings: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
): Promise<RedisServer> {
  const program = redisProgram();
  if (program === undefined) throw new Error('start redis: no server program on this machine');
  const dir = mkdtempSync(join(tmpdir(), 'meterfold-redis-'));
  const port = await freePort();
  const admins: Redis[] = [];
  let child: ChildProcess;
  const run = async (also: readonly string[] = []): Promise<void> => {
    const own = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--appendonly', 'no'];
    child = spawn(program, [...own, ...settings, ...also], { stdio: 'ignore', env: { ...process.env, ...environment } });
    const probe = client(port);
    try {
      await until(`redis on ${port} answers`, async () => probe.ping());
    } finally {
      probe.disconnect();
    }
  };
  const kill = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  };
  await run();
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    pid: () => child.pid ?? 0,
    kill,
    restart: run,
    admin: () => {
      const admin = client(port);
      admins.push(admin);
      return admin;
    },
    stop: async () => {
      for (const admin of admins) admin.disconnect();
      await kill('SIGKILL');
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
