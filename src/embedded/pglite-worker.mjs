// The embedded PostgreSQL, in a thread of its own so that its work does not stall the process. Plain JavaScript: a worker
// cannot load TypeScript on Node 20.
import { PGlite } from '@electric-sql/pglite';
import { parentPort, workerData } from 'node:worker_threads';
import { serve } from './pglite-server.mjs';

const { dataDir, socketPath, idleMs, maxConnections } = workerData;

const db = await PGlite.create({ ...(dataDir === undefined ? {} : { dataDir }), initDbStartParams: ['--locale=C'] });
const stop = await serve(db, { path: socketPath, idleMs, maxConnections });

parentPort.on('message', async (message) => {
  if (message !== 'close') return;
  await stop();
  await db.close();
  parentPort.postMessage('closed');
  parentPort.close();
});
parentPort.postMessage('ready');
