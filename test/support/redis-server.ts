/** A real Redis of one's own: a direct child process, in a temporary directory, on a free port of 127.0.0.1. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from './free-port.ts';
import { redis } from './services/redis.ts';
import { ownProgram } from './services/ways.ts';

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
export function clientOf(url: string): Redis {
  const redis = new Redis(url, { retryStrategy: () => 50, maxRetriesPerRequest: 1 });
  redis.on('error', () => undefined);
  return redis;
}

const urlOf = (port: number): string => `redis://127.0.0.1:${port}`;
export const client = (port: number): Redis => clientOf(urlOf(port));

/** It listens on this machine alone; what it keeps in `dir`, settings say. Its title keeps these arguments. */
export const redisArguments = (dir: string, port: number, settings: readonly string[]): string[] => {
  const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--set-proc-title', 'no'];
  return [...place, ...settings];
};

/** Rejects with why a server does not run: what it prints is its log. */
async function endOf(child: ChildProcess): Promise<never> {
  let said = '';
  child.stdout?.on('data', (text: Buffer) => (said = (said + text.toString()).slice(-4000)));
  await new Promise((resolve) => child.once('exit', resolve));
  throw new Error(`redis ended:\n${said}`);
}

export async function startRedis(
  settings: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
): Promise<RedisServer> {
  const { path } = ownProgram(redis);
  const dir = mkdtempSync(join(tmpdir(), 'meterfold-redis-'));
  const port = await freePort();
  const admins: Redis[] = [];
  let child: ChildProcess;
  const run = async (also: readonly string[] = []): Promise<void> => {
    const args = redisArguments(dir, port, ['--save', '', '--appendonly', 'no', ...settings, ...also]);
    child = spawn(path, args, { stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, ...environment } });
    const probe = client(port);
    try {
      await Promise.race([until(`redis on ${port} answers`, async () => probe.ping()), endOf(child)]);
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
    url: urlOf(port),
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
