/** What runs, in `.meterfold-services` (or MF_SERVICES_DIR): one file of state, one folder of data a server, one file to source. */
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { envName } from '../../src/config.ts';
import { isRunning } from './process.ts';
import { kafka } from './kafka.ts';
import { postgres } from './postgres.ts';
import { redis } from './redis.ts';
import { s3 } from './s3.ts';
import type { Ports, Server } from './server.ts';

export const SERVERS = { kafka, redis, postgres, s3 } as const satisfies Readonly<Record<string, Server>>;
export type Name = keyof typeof SERVERS;
export const NAMES = Object.keys(SERVERS) as readonly Name[];

export interface Running {
  readonly way: 'given' | 'program' | 'fetched' | 'Docker';
  /** What it is, and its version as far as that is known. */
  readonly version: string;
  readonly address: string;
  /** Of a process; absent where it was stopped. */
  readonly pid?: number;
  readonly container?: string;
  /** Kept over a stop, so that addresses stay. */
  readonly ports?: Ports;
}
export type State = Partial<Record<Name, Running>>;

export const folder = resolve(process.env.MF_SERVICES_DIR ?? '.meterfold-services');
export const dirOf = (name: Name): string => join(folder, name);

export async function readState(): Promise<State> {
  try {
    return JSON.parse(await readFile(join(folder, 'state.json'), 'utf8')) as State;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new Error(`read ${join(folder, 'state.json')}`, { cause: error });
  }
}

/** In one step: a reader sees the state before or the one after. */
async function replace(name: string, text: string): Promise<void> {
  const path = join(folder, name);
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

/** One after the other: servers start at the same time. */
let writes = Promise.resolve();
export function saveState(state: State): Promise<void> {
  return (writes = writes.then(() => replace('state.json', `${JSON.stringify(state, undefined, 2)}\n`)));
}

const quoted = (value: string): string => `'${value.replaceAll("'", "'\\''")}'`;

/** `. .meterfold-services/env`, and Meterfold finds all of them. */
export async function writeEnvironment(state: State): Promise<void> {
  const pairs = NAMES.flatMap((name) => {
    const server: Server = SERVERS[name];
    const settings = Object.entries(server.settings(state[name]?.address ?? ''));
    const named = settings.map(([setting, value]): [string, string] => [envName(setting), value]);
    return [...named, ...Object.entries(server.environment?.() ?? {})];
  });
  await replace('env', pairs.map(([name, value]) => `export ${name}=${quoted(value)}\n`).join(''));
}

/** Work on the folder that nobody else does at the same time; who died at it is not waited for. */
export async function alone<T>(work: () => Promise<T>): Promise<T> {
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const path = join(folder, 'lock');
  const holder = await readFile(path, 'utf8').catch(() => undefined);
  if (holder !== undefined && !isRunning(Number(holder), 'services')) await rm(path, { force: true });
  const lock = await open(path, 'wx').catch((error: unknown) => {
    throw new Error(`another \`npm run services\` is at work on ${folder} (process ${holder ?? 'unknown'})`, {
      cause: error,
    });
  });
  try {
    await lock.writeFile(String(process.pid));
    return await work();
  } finally {
    await lock.close();
    await rm(path, { force: true });
  }
}
