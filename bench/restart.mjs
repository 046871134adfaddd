// How long a start takes after a SIGKILL: `events` stored, `keys` in the epochs that are kept, `unpublished` acknowledged
// and not yet published. node bench/restart.mjs [--events 1000000] [--keys 100000] [--unpublished 10000] [--starts 5]
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Child } from '../scripts/demo/child.mjs';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const text = (otherwise) => ({ type: 'string', default: String(otherwise) });
const { values } = parseArgs({
  options: { events: text(1_000_000), keys: text(100_000), unpublished: text(10_000), starts: text(5) },
});
const [events, keys, unpublished, starts] = [values.events, values.keys, values.unpublished, values.starts].map(Number);
const TENANTS = 1000;
const BATCH = 1000;
/** How long the lanes may take for what lay in the log behind the cut. */
const ALL_WITHIN_MS = 30_000;

const MAPPING = `
time: { column: t }
tenant: { column: tenant }
idempotency_key: "stored-{row}"
events: [{ event_type: calls, quantity: { column: q } }]
`;

/** History: `events` rows of the last 30 days, older than the epochs that are kept. */
async function importHistory(dir, dataDir) {
  const [file, mapping] = [join(dir, 'history.csv'), join(dir, 'mapping.yaml')];
  await writeFile(mapping, MAPPING);
  const out = createWriteStream(file);
  const newest = Date.now() - 3_600_000;
  out.write('t,tenant,q\n');
  for (let n = 0; n < events; n += 1) {
    const time = new Date(newest - Math.floor(((events - n) / events) * 30 * 86_400_000)).toISOString();
    if (!out.write(`${time},t${n % TENANTS},${n % 97}\n`)) await once(out, 'drain');
  }
  out.end();
  await once(out, 'close');
  const importing = spawn(process.execPath, [MAIN, 'import', file, '--mapping', mapping, '--data-dir', dataDir], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [code] = await once(importing, 'exit');
  if (code !== 0) throw new Error(`the import ended with ${code}`);
}

let serial = 0;
async function send(child, count) {
  for (let sent = 0; sent < count; sent += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, count - sent) }, () => {
      serial += 1;
      const event_timestamp = new Date().toISOString();
      return {
        ...{ tenant_id: `t${serial % TENANTS}`, event_type: 'calls', quantity: '1' },
        ...{ idempotency_key: `live-${serial}`, event_timestamp },
      };
    });
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${child.url}/v1/events`, { method: 'POST', headers, body: JSON.stringify(batch) });
    if (response.status !== 200) throw new Error(`POST /v1/events: ${response.status}`);
  }
}

/** The sum over all tenants, batch and live. */
async function usage(child) {
  const day = (n) => new Date((Math.floor(Date.now() / 86_400_000) + n) * 86_400_000).toISOString();
  const response = await fetch(`${child.url}/v1/meters/calls/query?from=${day(-40)}&to=${day(2)}`);
  const { rows, proof } = await response.json();
  return { count: rows[0]?.count ?? 0, proof };
}

const dir = await mkdtemp(join(tmpdir(), 'meterfold-restart-'));
const child = new Child(join(dir, 'data'));
try {
  await importHistory(dir, child.dataDir);
  console.log(`${events} events stored`);
  await child.start();
  await send(child, keys);
  const rows = [];
  for (let n = 0; n < starts; n += 1) {
    await send(child, unpublished);
    await child.kill();
    await child.start();
    const { proof } = await usage(child);
    const began = Date.now();
    let { count } = await usage(child);
    while (count < events + serial && Date.now() < began + ALL_WITHIN_MS) ({ count } = await usage(child));
    const row = {
      ...{ startMs: child.startMs.at(-1), state: proof.state, allCountedMs: Date.now() - began },
      ...{ counted: count, expected: events + serial },
    };
    rows.push(row);
    console.log(JSON.stringify(row));
  }
  const sorted = rows.map(({ startMs }) => startMs).sort((a, b) => a - b);
  console.log(
    `${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}: start after SIGKILL ${sorted[Math.floor(sorted.length / 2)]} ms median, ${sorted.at(-1)} ms most`,
  );
  process.exitCode = rows.every(({ counted, expected }) => counted === expected) ? 0 : 1;
} finally {
  await child.kill();
  await rm(dir, { recursive: true, force: true });
}
