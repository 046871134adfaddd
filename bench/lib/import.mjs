// Importing history: a CSV of `rows` rows over `cells` cells (tenant and minute), into a directory and into a server.
import { execFile } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client, queryPath } from './client.mjs';
import { perSecond, rounded } from './report.mjs';
import { MAIN, Server } from './server.mjs';
import { METER, thousandthsOf } from './workload.mjs';

const run = promisify(execFile);
const [TENANTS, MINUTE, DAY] = [1000, 60_000, 86_400_000];
export const MAPPING = `
time: { column: t }
tenant: { column: tenant }
idempotency_key: "row-{row}"
events: [{ event_type: ${METER}, quantity: { column: q } }]
`;

/** Answers the truth: count, sum of thousandths, and the range. */
export async function writeCsv(file, { rows, cells, until }) {
  const minutes = Math.ceil(cells / TENANTS);
  const first = Math.floor(until / MINUTE) * MINUTE - minutes * MINUTE;
  const out = createWriteStream(file);
  out.write('t,tenant,q\n');
  let sum = 0;
  for (let n = 0; n < rows; n += 1) {
    const cell = n % cells;
    const time = new Date(first + Math.floor(cell / TENANTS) * MINUTE + (n % 59) * 1000).toISOString();
    const q = (n * 7919) % 100_000;
    sum += q * 1000;
    const line = `${time},tenant-${String((cell % TENANTS) + 1).padStart(4, '0')},${q}\n`;
    if (!out.write(line)) await once(out, 'drain');
  }
  out.end();
  await once(out, 'close');
  return { count: rows, sum, from: Math.floor(first / DAY) * DAY, to: (Math.floor(until / DAY) + 1) * DAY };
}

export async function importCsv(file, mapping, where) {
  const began = performance.now();
  await run(process.execPath, [MAIN, 'import', file, '--mapping', mapping, '--checkpoint', `${file}.checkpoint`, ...where]);
  return (performance.now() - began) / 1000;
}

export async function wrong(client, truth) {
  const { rows } = await client.get(queryPath({ from: truth.from, to: truth.to, window: 'range' }));
  const [is, should] = [
    { count: rows[0]?.count ?? 0, sum: thousandthsOf(rows[0]?.value ?? '0') },
    { count: truth.count, sum: truth.sum },
  ].map((usage) => JSON.stringify(usage));
  return is === should ? [] : [`import: ${is} instead of ${should}`];
}

/** To the log: until a server has acknowledged every row. Published: a directory of its own, until the command ends. */
export async function importPhase({ report, dir, options }) {
  const [file, mapping] = [join(dir, 'history.csv'), join(dir, 'mapping.yaml')];
  const rows = options.importRows;
  await writeFile(mapping, MAPPING);
  const truth = await writeCsv(file, { rows, cells: Math.min(rows, 100_000), until: options.now - 6 * 60 * MINUTE });
  const dataDir = join(dir, 'imported');
  const direct = await importCsv(file, mapping, ['--data-dir', dataDir]);
  report.row('import', `${rows} rows, --data-dir: read to published, rows/s`, perSecond(rows, direct));
  const imported = new Server(dataDir);
  const startMs = await imported.start();
  const client = new Client(imported.url);
  report.check('import', 'count and sum', await wrong(client, truth));
  client.close();
  await imported.stop();
  const server = new Server(join(dir, 'imported-by-url'));
  await server.start();
  const byUrl = await importCsv(file, mapping, ['--url', server.url]);
  report.row('import', '--url: read to acknowledged by the log, rows/s', perSecond(rows, byUrl), '20000');
  report.row('import', 'start of that directory, s', rounded(startMs / 1000), '3');
  await server.stop('SIGKILL');
  report.keep('import', { rows, directSeconds: direct, byUrlSeconds: byUrl, startMs });
}
