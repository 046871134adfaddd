// The phases of a run, each with its rows. A phase leaves the server as it found it: running, settled.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Client, differences, queryPath } from './client.mjs';
import { percentiles, perSecond, rounded } from './report.mjs';
import { cpuBetween, Server } from './server.mjs';

const PLAIN = fileURLToPath(new URL('./plain.mjs', import.meta.url));
const HOUR = 3_600_000;
const REST_MS = 5000;
const STARTS = 3;
const REBUILD_LOOK_MS = 250;
const run = promisify(execFile);
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** Accepted, visible, published, and what it cost. */
export async function ingestPhase({ report, server, client, workload, options }, { events, size }) {
  const phase = `ingest ${size}`;
  const bodies = workload.batches(events, size);
  const before = server.cpu();
  const sent = await client.sendAll(bodies, options.senders);
  const settled = await client.settled(sent);
  const cpu = cpuBetween(before, server.cpu());
  const found = await differences(client, workload, workload.names.slice(0, 20));
  report.keep(phase, {
    events,
    size,
    seconds: sent.seconds,
    retries: sent.retries,
    ...settled,
    cpuMs: cpu,
    memory: server.memory(),
  });
  report.row(phase, `${events} events: accepted, events/s`, perSecond(events, sent.seconds));
  report.row(phase, 'visible, events/s', perSecond(events, settled.visible), '10000');
  report.row(phase, 'published, events/s', perSecond(events, settled.published), '4000');
  const perEvent = (ms) => `${rounded((ms * 1000) / events)} µs`;
  report.row(phase, 'CPU an event: process', perEvent(cpu.total));
  report.row(phase, 'CPU an event: main thread', perEvent(cpu.main));
  report.row(phase, 'CPU an event: database thread', perEvent(cpu.database));
  report.check(phase, 'count and sum, hour by hour, all and 20 tenants', found);
  return { accepted: events / sent.seconds, visible: events / settled.visible, published: events / settled.published };
}

/** A steady stream; some of its requests are followed by a query that must include them. */
export async function freshnessPhase({ report, server, client, workload, options }) {
  const [size, everyMs] = [10, 10_000 / options.rate];
  const count = Math.floor((options.seconds * 1000) / everyMs);
  const latencies = { tenant: [], mixed: [], ack: [] };
  const before = server.cpu();
  const began = performance.now();
  const one = async (n) => {
    const kind = n % 5 === 0 ? 'tenant' : n % 25 === 1 ? 'mixed' : undefined;
    const now = Date.now();
    const tenant = workload.tenant();
    const texts = Array.from({ length: size }, () => workload.fresh(kind === 'tenant' ? tenant : undefined, now));
    const sentAt = performance.now();
    const token = await client.send(Buffer.from(`[${texts.join(',')}]`));
    const acked = performance.now();
    latencies.ack.push(acked - sentAt);
    if (kind === undefined) return;
    const from = Math.floor(now / HOUR) * HOUR;
    const about = kind === 'tenant' ? tenant : JSON.parse(texts[0]).tenant_id;
    await client.get(queryPath({ tenant: about, from, to: from + HOUR, window: 'range', after: token }));
    latencies[kind].push(performance.now() - acked);
  };
  const running = [];
  for (let n = 0; n < count; n += 1) {
    running.push(one(n));
    const wait = began + (n + 1) * everyMs - performance.now();
    if (wait > 0) await sleep(wait);
  }
  await Promise.all(running);
  const seconds = (performance.now() - began) / 1000;
  const cpu = cpuBetween(before, server.cpu());
  const raw = Object.fromEntries(Object.entries(latencies).map(([name, values]) => [name, percentiles(values)]));
  report.keep('freshness', { rate: options.rate, seconds, events: count * size, cpuMs: cpu, ...raw });
  report.row('freshness', `events/s over ${rounded(seconds)} s (${options.rate} wanted)`, perSecond(count * size, seconds));
  report.row('freshness', 'ack of 10 events, p50 / p99 ms', `${raw.ack.p50} / ${raw.ack.p99}`);
  report.row(
    'freshness',
    'ack to visible, batch of one tenant, p50 / p99 ms',
    `${raw.tenant.p50} / ${raw.tenant.p99}`,
    'p99 250',
  );
  report.row('freshness', 'ack to visible, batch of many tenants, p50 / p99 ms', `${raw.mixed.p50} / ${raw.mixed.p99}`);
  report.row('freshness', 'CPU of the process, cores', rounded(cpu.total / seconds / 1000, 2));
  report.check('freshness', 'count and sum behind it', await differences(client, workload));
}

/** One reader, one query at a time, nothing else under way. */
export async function queryPhase(
  { report, client, workload },
  { phase = 'query', cells = workload.cells.size, queries = 500 } = {},
) {
  const hours = [...workload.hoursOf().keys()];
  const [from, to] = [Math.min(...hours) * HOUR, (Math.max(...hours) + 1) * HOUR];
  const time = async (count, pathOf) => {
    const values = [];
    for (let n = 0; n < count; n += 1) {
      const began = performance.now();
      await client.get(pathOf());
      values.push(performance.now() - began);
    }
    return percentiles(values);
  };
  const any = () => workload.random.pick(workload.names);
  await time(20, () => queryPath({ tenant: any(), from, to }));
  const raw = {
    zipf: await time(queries, () => queryPath({ tenant: workload.tenant(), from, to })),
    uniform: await time(queries, () => queryPath({ tenant: any(), from, to })),
    all: await time(Math.ceil(queries / 20), () => queryPath({ from, to })),
  };
  report.keep(phase, { cells, ...raw });
  report.row(phase, `${cells} cells: one tenant by its usage, p50 / p99 ms`, `${raw.zipf.p50} / ${raw.zipf.p99}`, 'p99 20');
  report.row(phase, 'one tenant, each as likely, p50 / p99 ms', `${raw.uniform.p50} / ${raw.uniform.p99}`, 'p99 20');
  report.row(phase, 'all tenants, p50 / p99 ms', `${raw.all.p50} / ${raw.all.p99}`);
}

/** The batch view anew from the archive, compared with the live one and put in its place, while nothing else is under way. */
export async function rebuildPhase({ report, server, client, workload }) {
  const before = server.cpu();
  const began = performance.now();
  await client.call('POST', '/v1/rebuild');
  for (;;) {
    const { state, differences: found, detail } = await client.get('/v1/rebuild');
    if (state === 'flipped') break;
    if (state !== 'running') throw new Error(`the rebuild is ${state}: ${detail ?? JSON.stringify(found.slice(0, 3))}`);
    await sleep(REBUILD_LOOK_MS);
  }
  const seconds = (performance.now() - began) / 1000;
  const cpuMs = cpuBetween(before, server.cpu());
  report.keep('rebuild', { events: workload.made, seconds, cpuMs });
  report.row('rebuild', `${workload.made} events: archive to flip, events/s`, perSecond(workload.made, seconds));
  report.row('rebuild', 'CPU an event: process', `${rounded((cpuMs.total * 1000) / workload.made)} µs`);
  report.check('rebuild', 'count and sum behind it', await differences(client, workload));
}

export async function memoryPhase({ report, server }) {
  await sleep(REST_MS);
  const { rss, peak } = server.memory();
  report.keep('memory', { rss, peak, restMs: REST_MS });
  report.row('memory', 'RSS at most, MB', peak, '700');
  report.row('memory', `RSS after ${REST_MS / 1000} s of rest, MB`, rss);
}

/** Starts of the filled directory; before each kill some events are acknowledged and not yet published. */
export async function startPhase(context) {
  const { report, server, workload } = context;
  const raw = { term: [], kill: [], stop: [], killCpuMs: [] };
  context.client.close();
  for (let n = 0; n < STARTS; n += 1) {
    raw.stop.push(await server.stop('SIGTERM'));
    raw.term.push(await server.start());
    const client = new Client(server.url);
    await client.sendAll(workload.batches(2000, 1000), 2);
    client.close();
    await server.stop('SIGKILL');
    raw.kill.push(await server.start());
    raw.killCpuMs.push(server.cpu().total);
  }
  context.client = new Client(server.url);
  report.keep('start', raw);
  report.row('start', 'filled, after SIGTERM, median of 3, s', rounded(median(raw.term) / 1000), '3');
  report.row('start', 'filled, after SIGKILL with 2,000 unpublished, s', rounded(median(raw.kill) / 1000), '3');
  report.row('start', 'its CPU, all threads, s', rounded(median(raw.killCpuMs) / 1000));
  report.row('start', 'SIGTERM to exit, s', rounded(median(raw.stop) / 1000));
  const sent = await context.client.sendAll(workload.batches(100, 100), 1);
  await context.client.settled(sent);
  report.check('start', 'count and sum behind it', await differences(context.client, workload));
}

export async function emptyStartPhase({ report, dir }) {
  const [raw, cpu] = [[], []];
  for (let n = 0; n < STARTS; n += 1) {
    const server = new Server(join(dir, `empty-${n}`));
    raw.push(await server.start());
    cpu.push(server.cpu().total);
    await server.stop();
  }
  report.keep('start', { empty: raw, emptyCpuMs: cpu });
  report.row('start', 'empty directory, median of 3, s', rounded(median(raw) / 1000), '3');
  report.row('start', 'its CPU, all threads, s', rounded(median(cpu) / 1000));
}

/** The plain way on the same PGlite: what a simple table costs on this machine. Ratios are above 1 where we are faster. */
export async function plainPhase({ report, dir, options }, ours) {
  for (const hourly of [false, true]) {
    const { seed, hours, now } = options;
    const dataDir = join(dir, hourly ? 'plain-hourly' : 'plain');
    const given = { seed, hours, now, dataDir, events: options.events, batch: 1000, hourly };
    const { stdout } = await run(process.execPath, [PLAIN, JSON.stringify(given)]);
    const raw = JSON.parse(stdout);
    const [name, rate] = [hourly ? 'insert and hourly sums' : 'insert alone', raw.events / raw.seconds];
    report.keep('plain', { [hourly ? 'hourly' : 'insert']: raw });
    report.row('plain', `${name}: events/s`, Math.round(rate));
    report.row('plain', `${name}: CPU an event`, `${rounded((raw.cpuMs * 1000) / raw.events)} µs`);
    for (const what of ['accepted', 'visible', 'published'])
      report.row('plain', `${name}: ours / plain, ${what}`, rounded(ours[what] / rate));
    report.check('plain', `${name}: count and sum`, raw.right ? [] : ['the plain way counts otherwise']);
  }
}
