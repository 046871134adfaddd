// What the Redis speed store costs: CPU of the worker and of Redis an event, and memory. It starts a redis-server of its own.
// node bench/redis.mjs [--events 2000000] [--batch 5000] [--lineages 16] [--buckets 16] [--duplicates 0.05] [--epochs 1] [--seed 1]
// `--batch` are the records of one lineage that are applied together. 1,000 tenants by Zipf 1.1, 3 meters, 60 minutes of event
// time that follow the log, 2 % up to 5 minutes late. Events are made outside of what is measured; sums are compared with the truth.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { openRedisSpeedStore } from '../dist/sinks/redis/store.js';
import { randomOf } from '../scripts/demo/random.mjs';

const options = Object.fromEntries(
  Object.entries({ events: 2_000_000, batch: 5000, lineages: 16, buckets: 16, duplicates: 0.05, epochs: 1, seed: 1 }).map(
    ([name, value]) => [name, { type: 'string', default: String(value) }],
  ),
);
const { values } = parseArgs({ options });
const { events, batch, lineages, buckets, duplicates, epochs, seed } = Object.fromEntries(
  Object.entries(values).map(([name, value]) => [name, Number(value)]),
);
const FIRST_MINUTE = 29_000_000;
const [TENANTS, MINUTES, ZIPF, LATE, LATE_MINUTES, SEGMENT, OLDEST] = [1000, 60, 1.1, 0.02, 5, 50_000, 490_000];
const METERS = ['tokens.input@1', 'tokens.output@1', 'api.request@1'];
/** Copies are of one of so many events before. */
const REMEMBERED = 50_000;
const random = randomOf(seed);

async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

const dir = await mkdtemp(join(tmpdir(), 'meterfold-bench-redis-'));
const port = await freePort();
const server = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', ''], {
  stdio: 'ignore',
});
const admin = new Redis({ host: '127.0.0.1', port, retryStrategy: () => 50 });
admin.on('error', () => {});
await admin.ping();
const info = async (name) => Number(new RegExp(`^${name}:(.*)$`, 'm').exec(await admin.info('all'))[1]);
const serverCpu = async () => (await info('used_cpu_user')) + (await info('used_cpu_sys'));

const digestOf = (n) => createHash('md5').update(String(n)).digest('latin1');
const positionOf = (n) => String(n).padStart(20, '0');

const shares = Array.from({ length: TENANTS }, (_, n) => 1 / (n + 1) ** ZIPF);
const whole = shares.reduce((x, y) => x + y, 0);
let share = 0;
const cumulative = shares.map((one) => (share += one / whole));
const tenants = cumulative.map((_, n) => ({
  name: `tenant-${String(n + 1).padStart(6, '0')}`,
  lineage: createHash('md5').update(`l${n}`).digest().readUInt32BE() % lineages,
  bucket: createHash('md5').update(`b${n}`).digest().readUInt32BE() % buckets,
}));

function pickTenant() {
  const at = random.next();
  let [low, high] = [0, TENANTS - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (cumulative[middle] < at) low = middle + 1;
    else high = middle;
  }
  return tenants[low];
}

/** The n-th event: what is new of it, and where it goes. */
function eventOf(n) {
  const tenant = pickTenant();
  const late = random.chance(LATE) ? random.below(LATE_MINUTES) : 0;
  const minute = FIRST_MINUTE + Math.max(0, Math.floor((n / events) * MINUTES) - late);
  const meter = random.pick(METERS);
  const micros = meter === 'api.request@1' ? 1_000_000 : 1000 + random.below(4e9);
  const value = BigInt(micros) * 1_000_000n;
  const contribution = { tenant: tenant.name, meter, minute, group: '[]', aggregation: 'sum', value, order: '' };
  return { tenant, digest: digestOf(n), contributions: [contribution] };
}

const logs = Array.from({ length: lineages }, (_, n) => ({
  id: `kafka.6f1c9f0e-0000-4000-8000-000000000000.usage.${n}`,
  next: 0,
  from: 0,
  shares: new Map(),
}));
const cost = { client: 0, wall: 0, scripts: 0 };

/** One batch of a lineage: a script for each bucket that it touches. */
async function flush(store, log) {
  const [from, to] = [log.from, log.next];
  const requests = [...log.shares].map(([bucket, records]) => {
    const place = {
      bucket,
      lineage: log.id,
      incarnation: `i${bucket}`,
      prev: positionOf(log.fences[bucket]),
      to: positionOf(to),
    };
    log.fences[bucket] = to;
    return { ...place, arrival: 1, rules: 1, oldest: OLDEST, records };
  });
  [log.shares, log.from] = [new Map(), to];
  const [cpu, began] = [process.cpuUsage(), performance.now()];
  const replies = await Promise.all(requests.map((request) => store.apply(request)));
  const used = process.cpuUsage(cpu);
  if (!replies.every((reply) => reply.ok)) throw new Error(`refused behind ${from}`);
  cost.client += (used.user + used.system) / 1e6;
  cost.wall += (performance.now() - began) / 1e3;
  cost.scripts += requests.length;
}

async function open() {
  const store = await openRedisSpeedStore({ urls: [`redis://127.0.0.1:${port}`], buckets });
  for (const log of logs) {
    log.fences = Array.from({ length: buckets }, () => 0);
    for (let bucket = 0; bucket < buckets; bucket += 1) {
      const mint = { incarnation: `i${bucket}`, oldest: OLDEST };
      const fence = { position: positionOf(0), arrival: 0, rules: 1 };
      const seen = await store.look(bucket, log.id);
      await store.advance({ bucket, lineage: log.id, seen, mint, mark: 'm', parents: [], fence });
    }
  }
  return store;
}

/** Answers how many events were new, and their sum. */
async function run(store) {
  const recent = [];
  let [fresh, truth] = [0, 0n];
  for (let n = 0; n < events; n += 1) {
    const isCopy = fresh > 1000 && random.chance(duplicates);
    const event = isCopy ? random.pick(recent) : eventOf(n);
    if (!isCopy) {
      recent[fresh % REMEMBERED] = event;
      fresh += 1;
      truth += event.contributions[0].value;
    }
    const log = logs[event.tenant.lineage];
    const share = log.shares.get(event.tenant.bucket) ?? [];
    log.shares.set(event.tenant.bucket, share);
    share.push({
      position: positionOf(log.next),
      digest: event.digest,
      epoch: OLDEST + Math.floor((n / events) * epochs),
      segment: Math.floor(log.next / SEGMENT),
      contributions: event.contributions,
    });
    log.next += 1;
    if (log.next - log.from >= batch) await flush(store, log);
  }
  for (const log of logs) await flush(store, log);
  return { fresh, truth };
}

async function measure() {
  const store = await open();
  const before = { cpu: await serverCpu(), memory: await info('used_memory') };
  const { fresh, truth } = await run(store);
  const cpu = (await serverCpu()) - before.cpu;
  const memory = (await info('used_memory')) - before.memory;
  let [sum, cells] = [0n, 0];
  const began = performance.now();
  for (let bucket = 0; bucket < buckets; bucket += 1) {
    const [state] = await store.read([bucket], {});
    for (const cell of state.cells) [sum, cells] = [sum + cell.sum, cells + 1];
  }
  const rows = {
    'events, of them new': `${events}, ${fresh}`,
    'records a script': Math.round(events / cost.scripts),
    'events/s of wall time': Math.round(events / cost.wall),
    'events per CPU second of the worker': Math.round(events / cost.client),
    'events per CPU second of Redis': Math.round(events / cpu),
    'cells, with their segments': cells,
    'all cells read, ms': Math.round(performance.now() - began),
    'used_memory, MB': (memory / 1e6).toFixed(1),
    'bytes a key, cells included': (memory / fresh).toFixed(1),
    'keys in Redis': await admin.dbsize(),
    'sum is exact': sum === truth,
  };
  for (const [name, value] of Object.entries(rows)) console.log(`${name.padEnd(40)} ${value}`);
  process.exitCode = sum === truth ? 0 : 1;
  await store.close();
}

try {
  await measure();
} finally {
  admin.disconnect();
  server.kill('SIGKILL');
  await rm(dir, { recursive: true, force: true });
}
