/** PostgreSQL without a server: PGlite in a worker thread, behind a Unix socket, so that the same `pg` client talks to both. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { MeterError } from '../errors.ts';

/** The name that `pg` derives from a socket directory and a port. */
const PORT = 5432;
const SOCKET = `.s.PGSQL.${String(PORT)}`;

export interface EmbeddedDatabase {
  /** For `pg`. */
  readonly connection: { readonly host: string; readonly port: number; readonly user: string; readonly database: string };
  close(): Promise<void>;
}

export interface EmbeddedOptions {
  /** Absent: in memory. */
  readonly dataDir?: string;
  readonly maxConnections: number;
}

/** The next message of the worker; throws what ended it instead. */
function answer(worker: Worker, expected: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void =>
      reject(new MeterError('DATABASE_UNAVAILABLE', `embedded database: not ${expected}`, { cause }));
    worker.once('error', fail);
    worker.once('exit', fail);
    worker.on('message', (message) => {
      if (message === expected) resolve();
    });
  });
}

/**
 * Opens (and on the first start initialises) the database. Not synced to disk at every commit: it survives the death of the
 * process, not the loss of power. The caller holds the lock of the directory.
 */
export async function openEmbedded({ dataDir, maxConnections }: EmbeddedOptions): Promise<EmbeddedDatabase> {
  // A socket path has at most 108 bytes: not below the data directory, which may lie deep.
  const host = await mkdtemp(join(tmpdir(), 'meterfold-'));
  const workerData = { dataDir, maxConnections, socketPath: join(host, SOCKET) };
  const worker = new Worker(new URL('./pglite-worker.mjs', import.meta.url), { workerData });
  await answer(worker, 'ready');
  worker.removeAllListeners('exit');
  const close = async (): Promise<void> => {
    const closed = answer(worker, 'closed');
    worker.postMessage('close');
    await closed;
    await worker.terminate();
    await rm(host, { recursive: true, force: true });
  };
  return { connection: { host, port: PORT, user: 'postgres', database: 'postgres' }, close };
}
