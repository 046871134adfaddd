// What event rows, their keys and their indexes take on disk, what a GIN index costs a publish, and how long the steps of
// retention take. node bench/tables.mjs [--events 1000000] [--url postgres://…]; without a url, the embedded database.
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openEmbedded } from '../dist/embedded/pglite.js';
import { postgresBatchView } from '../dist/sinks/postgres/batch-view.js';
import { shapeIndexes } from '../dist/sinks/postgres/indexes.js';
import { migrate } from '../dist/sinks/postgres/migrate.js';
import { openPool } from '../dist/sinks/postgres/pool.js';
import { postgresTables } from '../dist/sinks/postgres/tables.js';

const { values } = parseArgs({ options: { events: { type: 'string', default: '1000000' }, url: { type: 'string' } } });
const events = Number(values.events);
const SEGMENT = 2000;
const START = Date.UTC(2026, 0, 1);
const STEP_ROWS = 500;

/** Keys of 36 characters, as uuids have; 1,000 tenants; properties of four fields, about 90 bytes. Seeded by the number. */
function archived(n, bare) {
  const digest = createHash('sha256').update(String(n)).digest('hex');
  const key = digest.slice(0, 36);
  const properties = { model: `m${n % 7}`, region: `r${n % 5}`, request: digest.slice(36, 52), user: `u${n % 100_000}` };
  const fields = bare
    ? { subject: null, properties: '{}' }
    : { subject: `user-${n % 100_000}`, properties: JSON.stringify(properties) };
  const event = {
    tenant: `tenant-${n % 1000}`,
    type: `type-${n % 5}`,
    quantity: 1_500_000_000_000n,
    key,
    timestamp: (START + n * 100) * 1000,
    ...fields,
  };
  return { position: String(n).padStart(20, '0'), arrival: START + n * 100, content: digest.slice(0, 32), event };
}

const SIZES = `
  SELECT CASE WHEN i.indrelid IS NULL THEN 'rows' ELSE regexp_replace(c.relname, '_[0-9]_', '_N_') END AS part,
    sum(pg_relation_size(c.oid))::bigint AS bytes
  FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
  WHERE c.relname ~ '^metering_events_[0-9]' GROUP BY 1 ORDER BY 2 DESC`;
const TOTAL = `SELECT sum(pg_total_relation_size(c.oid))::bigint AS bytes FROM pg_class c WHERE c.relname ~ '^metering_events_[0-9]$'`;

const perMillion = (bytes) => `${Math.round((bytes / events) * 10) / 10} MB a million`;

async function fill(pool, bare) {
  const batch = postgresBatchView(pool);
  const times = [];
  for (let from = 0; from < events; from += SEGMENT) {
    const some = Array.from({ length: Math.min(SEGMENT, events - from) }, (_, n) => archived(from + n, bare));
    const began = performance.now();
    await batch.transaction((tx) => tx.insertEvents('l0', some));
    times.push(performance.now() - began);
  }
  return times;
}

async function sizes(pool, title) {
  const { rows } = await pool.query(TOTAL);
  console.log(`${title}: ${perMillion(rows[0].bytes)} in all`);
  for (const { part, bytes } of (await pool.query(SIZES)).rows) console.log(`    ${part}: ${perMillion(bytes)}`);
}

const mean = (times) => times.reduce((a, b) => a + b, 0) / times.length;
async function steps(title, step) {
  const times = [];
  for (let done = 1; done > 0 && times.length < 100;) {
    const began = performance.now();
    done = await step();
    // A step is a statement a partition, eight in all.
    times.push((performance.now() - began) / 8);
  }
  const sorted = times.sort((a, b) => a - b);
  console.log(
    `${title}: mean ${mean(times).toFixed(0)} ms, p99 ${sorted[Math.floor(sorted.length * 0.99)].toFixed(0)} ms for ${STEP_ROWS} rows`,
  );
}

async function round(pool, { propertiesIndex, bare, retention }) {
  await pool.query('DROP SCHEMA public CASCADE');
  await pool.query('CREATE SCHEMA public');
  await migrate(pool);
  await shapeIndexes(pool, { propertiesIndex, eventRowRetentionMs: retention ? 1 : 0 });
  const title = `properties ${bare ? 'emptied' : 'there'}, GIN ${propertiesIndex}, retention of rows ${retention ? 'on' : 'off'}`;
  const times = await fill(pool, bare);
  await pool.query('CHECKPOINT');
  console.log(`${title}: ${((mean(times) / SEGMENT) * 1000).toFixed(1)} ms a thousand events`);
  await sizes(pool, title);
  if (!retention) return;
  await pool.query('ANALYZE');
  const tables = postgresTables(pool, { embedded: false });
  await steps('empty event rows', () => tables.emptyEvents(START + 1e12, STEP_ROWS));
  await steps('forget keys', () => tables.forgetKeys(START + 1e12, STEP_ROWS));
}

console.log(`${cpus()[0].model}, ${cpus().length} cores; ${events} events`);
const dir = await mkdtemp(join(tmpdir(), 'meterfold-tables-'));
const embedded = values.url === undefined ? await openEmbedded({ dataDir: join(dir, 'db') }) : undefined;
const pool = openPool(embedded?.connection ?? { connectionString: values.url }, { max: 1 });
try {
  console.log((await pool.query('SELECT version() AS v')).rows[0].v);
  await round(pool, { propertiesIndex: 'off', bare: true, retention: false });
  await round(pool, { propertiesIndex: 'off', bare: false, retention: true });
  await round(pool, { propertiesIndex: 'off', bare: false, retention: false });
  await round(pool, { propertiesIndex: 'on', bare: false, retention: false });
} finally {
  await pool.end();
  await embedded?.close();
  await rm(dir, { recursive: true, force: true });
}
