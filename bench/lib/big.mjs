// Queries over a million cells: one row a cell, imported, so that the time goes into the cells and not into sending.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from './client.mjs';
import { importCsv, MAPPING, writeCsv, wrong } from './import.mjs';
import { queryPhase } from './phases.mjs';
import { perSecond, rounded } from './report.mjs';
import { Server } from './server.mjs';
import { Workload } from './workload.mjs';

const CELLS = 1_000_000;
const HOUR = 3_600_000;

/** What the query phase asks of a workload: tenants, and the hours that hold something. */
function imported(options, { from, to }) {
  const workload = new Workload(options);
  workload.hoursOf = () => new Map(Array.from({ length: (to - from) / HOUR }, (_, n) => [from / HOUR + n, undefined]));
  return workload;
}

export async function bigPhase({ report, dir, options }) {
  const [file, mapping, dataDir] = ['big.csv', 'big.yaml', 'big'].map((name) => join(dir, name));
  await writeFile(mapping, MAPPING);
  const truth = await writeCsv(file, { rows: CELLS, cells: CELLS, until: options.now - 6 * HOUR });
  const seconds = await importCsv(file, mapping, ['--data-dir', dataDir]);
  report.row('big', `${CELLS} rows imported and published, rows/s`, perSecond(CELLS, seconds));
  const server = new Server(dataDir);
  const startMs = await server.start();
  report.row('big', 'start, s', rounded(startMs / 1000), '3');
  const client = new Client(server.url);
  report.check('big', 'count and sum', await wrong(client, truth));
  await queryPhase({ report, client, workload: imported(options, truth) }, { phase: 'big', cells: CELLS, queries: 200 });
  report.row('big', 'RSS at most, MB', server.memory().peak, '700');
  report.keep('big', { importSeconds: seconds, startMs, memory: server.memory() });
  client.close();
  await server.stop();
}
