// The plain way, in a process of its own: the same events into a table with a primary key, and hourly sums of what was new.
// Run by plainPhase with its options as JSON; prints one line of JSON.
import { PGlite } from '@electric-sql/pglite';
import { Workload, thousandthsOf } from './workload.mjs';

const { dataDir, events, batch, hourly, ...options } = JSON.parse(process.argv[2]);

const TABLES = `
  CREATE TABLE events (tenant_id text COLLATE "C", idempotency_key text COLLATE "C", event_type text, quantity numeric(38, 12),
    event_timestamp timestamptz, subject text, properties jsonb, PRIMARY KEY (tenant_id, idempotency_key));
  CREATE TABLE hourly (tenant_id text COLLATE "C", event_type text, hour timestamptz, total numeric, count bigint,
    PRIMARY KEY (tenant_id, event_type, hour))`;
const INSERT = `
  INSERT INTO events SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::numeric[], $5::timestamptz[], $6::text[], $7::jsonb[])
  ON CONFLICT DO NOTHING`;
const BOTH = `
  WITH new AS (${INSERT} RETURNING tenant_id, event_type, date_trunc('hour', event_timestamp) AS hour, quantity)
  INSERT INTO hourly SELECT tenant_id, event_type, hour, sum(quantity), count(*) FROM new GROUP BY 1, 2, 3
  ON CONFLICT (tenant_id, event_type, hour) DO UPDATE SET total = hourly.total + excluded.total, count = hourly.count + excluded.count`;

const workload = new Workload(options);
const bodies = workload.batches(events, batch);
const db = await PGlite.create({ dataDir, initDbStartParams: ['--locale=C'] });
await db.exec(TABLES);
const [began, cpu] = [performance.now(), process.cpuUsage()];
for (const body of bodies) {
  const rows = JSON.parse(body);
  const column = (name) => rows.map((row) => row[name]);
  const ids = [column('tenant_id'), column('idempotency_key'), column('event_type')];
  const properties = rows.map((row) => JSON.stringify(row.properties));
  await db.query(hourly ? BOTH : INSERT, [
    ...ids,
    column('quantity'),
    column('event_timestamp'),
    column('subject'),
    properties,
  ]);
}
const seconds = (performance.now() - began) / 1000;
const { user, system } = process.cpuUsage(cpu);
const text = hourly
  ? 'SELECT sum(count)::int AS count, sum(total)::text AS sum FROM hourly'
  : 'SELECT count(*)::int AS count, sum(quantity)::text AS sum FROM events';
const [{ count, sum }] = (await db.query(text)).rows;
const right = count === workload.count && thousandthsOf(sum) === workload.sum;
await db.close();
const maxRssMb = Math.round(process.resourceUsage().maxRSS / 1024);
console.log(JSON.stringify({ events, seconds, cpuMs: (user + system) / 1000, count, sum, right, maxRssMb }));
