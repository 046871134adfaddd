/** PostgreSQL without a server: PGlite in a worker thread, behind a Unix socket, so that the same `pg` client talks to both. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { asError, MeterError } from '../errors.ts';
import { layCluster } from './cluster.ts';

/** The name that `pg` derives from a socket directory and a port. */
const PORT = 5432;
const SOCKET = `.s.PGSQL.${String(PORT)}`;
const SOCKET_DIR = 'meterfold-pg-';
/** The major version that PGlite 0.5 is. */
const MAJOR = 18;
/** A transaction that asks for nothing for so long is rolled back: all others wait for it. */
const IDLE_MS = 10_000;

export interface EmbeddedDatabase {
  /** For `pg`. */
  readonly connection: { readonly host: string; readonly port: number; readonly user: string; readonly database: string };
  /** Ends all connections and writes a checkpoint. */
  close(): Promise<void>;
}

export interface EmbeddedOptions {
  /** Absent: in memory. */
  readonly dataDir?: string;
  readonly maxConnections?: number;
  /** False: a new directory is initialised step by step, not unpacked. Default true. */
  readonly prepared?: boolean;
  /** Told when the thread dies; without it the process ends with an uncaught exception, as a server without database should. */
  readonly onFailure?: (error: Error) => void;
}

const unlessAbsent = async (path: string): Promise<string | undefined> =>
  readFile(path, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });

async function demandKnownVersion(dataDir: string): Promise<void> {
  const path = join(dataDir, 'PG_VERSION');
  const text = (await unlessAbsent(path))?.trim() ?? String(MAJOR);
  if (text === String(MAJOR)) return;
  throw new MeterError(
    'DATA_DIR_NEWER',
    `open ${path}: it was written by PostgreSQL ${text}, this version embeds ${MAJOR}`,
    {
      value: text,
      allowed: 'start the version of Meterfold that wrote it',
    },
  );
}

/** A socket path has at most 108 bytes: not below the data directory, which may lie deep. Readable by this user only. */
async function socketDirectory(dataDir: string | undefined): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), SOCKET_DIR));
  if (dataDir === undefined) return made;
  // A killed process leaves its directory: the next one knows it by this note. The caller holds the lock.
  const note = join(dirname(dataDir), 'socket');
  const left = (await unlessAbsent(note))?.trim() ?? '';
  if (dirname(left) === tmpdir() && basename(left).startsWith(SOCKET_DIR)) await rm(left, { recursive: true, force: true });
  await writeFile(note, `${made}\n`);
  return made;
}

/** Resolves with the worker's message `expected`; rejects with what ended it instead. */
function answer(worker: Worker, expected: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (then: () => void): void => {
      worker.off('message', onMessage).off('error', onError).off('exit', onExit);
      then();
    };
    const onMessage = (message: unknown): void => {
      if (message === expected) settle(resolve);
    };
    const onError = (error: unknown): void => settle(() => reject(asError(error)));
    const onExit = (code: number): void => settle(() => reject(new Error(`its thread ended with ${code}`)));
    worker.on('message', onMessage).on('error', onError).on('exit', onExit);
  });
}

/**
 * Opens the database, and initialises it on the first start: UTF-8, locale C, UTC. It survives the death of the process, not
 * the loss of power: nothing is synced to the disk at a commit. The caller holds the lock of the directory. Throws
 * DATA_DIR_NEWER, or what PostgreSQL said about a directory that it cannot open.
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<EmbeddedDatabase> {
  const { dataDir, maxConnections, prepared = true } = options;
  if (dataDir !== undefined) {
    await mkdir(dirname(dataDir), { recursive: true });
    await demandKnownVersion(dataDir);
    if (prepared) await layCluster(dataDir);
  }
  const host = await socketDirectory(dataDir);
  const workerData = { dataDir, maxConnections, idleMs: IDLE_MS, socketPath: join(host, SOCKET) };
  const worker = new Worker(new URL('./pglite-worker.mjs', import.meta.url), { workerData });
  try {
    await answer(worker, 'ready');
  } catch (cause) {
    await rm(host, { recursive: true, force: true });
    throw new Error(`open the embedded database in ${dataDir ?? 'memory'}: ${asError(cause).message}`, { cause });
  }
  const unwatch = watch(worker, options);
  const close = async (): Promise<void> => {
    unwatch();
    const closed = answer(worker, 'closed');
    worker.postMessage('close');
    await closed;
    await worker.terminate();
    await rm(host, { recursive: true, force: true });
  };
  return { connection: { host, port: PORT, user: 'postgres', database: 'postgres' }, close };
}

/** From here on the thread ends only when it is told to. */
function watch(worker: Worker, { dataDir, onFailure }: EmbeddedOptions): () => void {
  const fail = (cause: unknown): void => {
    unwatch();
    const error = new Error(`the embedded database in ${dataDir ?? 'memory'} stopped: ${asError(cause).message}`, { cause });
    if (onFailure === undefined) throw error;
    onFailure(error);
  };
  const onExit = (code: number): void => fail(`its thread ended with ${String(code)}`);
  const unwatch = (): void => void worker.off('error', fail).off('exit', onExit);
  worker.on('error', fail).on('exit', onExit);
  return unwatch;
}
