/**
 * Catching up with a topic: Kafka, Redis and PostgreSQL of its own, one worker. CPU seconds of each apart, and the counters
 * compared with the books of who wrote the topic.
 *
 *   npm run build
 *   node --import ./test/support/typescript.mjs bench/catch-up.ts --events 2000000
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { systemClock } from '../src/clock.ts';
import type { SpeedCell, SpeedStore } from '../src/contract.ts';
import { openRedisSpeedStore } from '../src/sinks/redis/store.ts';
import { openKafkaLog } from '../src/sources/kafka/log.ts';
import { startKafka } from '../test/support/kafka-server.ts';
import { startPostgres } from '../test/support/postgres-server.ts';
import { startRedis } from '../test/support/redis-server.ts';
import { databaseUrl } from '../test/support/role-process.ts';
import { childrenOf, cpuMs, memoryMb, treeCpuMs } from './lib/processes.mjs';
import { fillTopic, type Topic } from './production/topic.ts';

const { values: options } = parseArgs({
  options: {
    events: { type: 'string', default: '200000' },
    partitions: { type: 'string', default: '16' },
    tenants: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    profile: { type: 'string' },
    rounds: { type: 'string', default: '1' },
  },
});
const [events, partitions, tenants, seed] = [options.events, options.partitions, options.tenants, options.seed].map(Number);
const BUCKETS = 16;
const ALL = Array.from({ length: BUCKETS }, (_, bucket) => bucket);
const LOOK_MS = 200;

const kafka = await startKafka();
const place = { brokers: kafka.brokers, partitions: partitions! };
const postgres = await startPostgres();
try {
  const topic = await fillTopic({
    brokers: kafka.brokers,
    name: 'usage',
    events: events!,
    partitions: partitions!,
    tenants: tenants!,
    seed: seed!,
  });
  await tick(topic.name);
  console.log(JSON.stringify(topic));
  for (let n = 0; n < Number(options.rounds); n += 1) console.log(JSON.stringify(await catchUp(topic)));
} finally {
  await kafka.stop();
  await postgres.stop();
}

async function catchUp(topic: Topic): Promise<object> {
  const redis = await startRedis();
  const dataDir = await mkdtemp(join(tmpdir(), 'meterfold-catch-up-'));
  const env = {
    PATH: process.env.PATH,
    METERFOLD_KAFKA_BROKERS: kafka.brokers.join(),
    METERFOLD_KAFKA_TOPIC: topic.name,
    METERFOLD_KAFKA_MIN_INSYNC_REPLICAS: '1',
    METERFOLD_PARTITIONS: String(partitions),
    METERFOLD_REDIS_URLS: redis.url,
    METERFOLD_DATA_DIR: dataDir,
    // That of an archive in S3: the data directory is not written to here.
    METERFOLD_ARCHIVE_FORMAT: '2',
    METERFOLD_DATABASE_URL: databaseUrl(await postgres.createDatabase()),
    ...(options.profile === undefined ? {} : { PROFILE: options.profile }),
  };
  const program = fileURLToPath(new URL('./production/live-worker.mjs', import.meta.url));
  const began = performance.now();
  const [java = 0] = childrenOf(process.pid, 'java');
  const [server = 0] = childrenOf(process.pid, 'postgres');
  const before = { broker: cpuMs(java), redis: cpuMs(redis.pid()), postgres: treeCpuMs(server) };
  // As `meterfold` starts Node (src/main.ts).
  const worker = spawn(process.execPath, ['--max-semi-space-size=64', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env,
  });
  const gone = once(worker, 'exit');
  const pid = worker.pid ?? 0;
  const store = await openRedisSpeedStore({ urls: [redis.url], mode: 'single', prefix: 'mf', buckets: BUCKETS });
  let startCpu = 0;
  worker.stdout.once('data', () => (startCpu = cpuMs(pid)));
  const ends = await endsOf(topic.name);
  while (!(await isThere(store, ends)) && worker.exitCode === null) await systemClock.sleep(LOOK_MS);
  const seconds = (performance.now() - began) / 1000;
  const used = {
    worker: cpuMs(pid) / 1000,
    workerStart: startCpu / 1000,
    redis: (cpuMs(redis.pid()) - before.redis) / 1000,
    broker: (cpuMs(java) - before.broker) / 1000,
    postgres: (treeCpuMs(server) - before.postgres) / 1000,
  };
  const memory = { workerMb: memoryMb(pid).peak, redisMb: await memoryOf(redis.admin()) };
  const wrong = wrongOf(topic, await store.read(ALL, {}));
  worker.kill('SIGTERM');
  await gone;
  await store.close();
  await redis.stop();
  await rm(dataDir, { recursive: true, force: true });
  const perEvent = (s: number): number => Math.round((s * 1e7) / topic.events) / 10;
  const rate = (s: number): number => Math.round(topic.events / s);
  return {
    seconds: Math.round(seconds * 10) / 10,
    eventsPerSecond: rate(seconds),
    cpuSeconds: used,
    cpuMicrosPerEvent: { worker: perEvent(used.worker), redis: perEvent(used.redis), broker: perEvent(used.broker) },
    eventsPerCpuSecond: { worker: rate(used.worker), redis: rate(used.redis) },
    ...memory,
    wrong,
  };
}

function openTopic(topic: string): ReturnType<typeof openKafkaLog> {
  return openKafkaLog({ ...place, topic, minInsyncReplicas: 1, clock: systemClock });
}

/** As the scheduler writes them: buckets without a record of some lineage get to its end by them. */
async function tick(topic: string): Promise<void> {
  const log = await openTopic(topic);
  await log.control({ type: 'tick' });
  await log.close();
}

/** By lineage. */
async function endsOf(topic: string): Promise<ReadonlyMap<string, bigint>> {
  const log = await openTopic(topic);
  const ends = new Map<string, bigint>();
  for (const { id } of await log.lineages()) ends.set(id, BigInt((await log.bounds(id)).end));
  await log.close();
  return ends;
}

/** Whether every bucket has every lineage up to its end. Asked of the last bucket first: a read of all costs Redis something. */
async function isThere(store: SpeedStore, ends: ReadonlyMap<string, bigint>): Promise<boolean> {
  for (const bucket of [...ALL].reverse())
    for (const [lineage, end] of ends) {
      const { fence } = await store.look(bucket, lineage);
      if (fence === undefined || BigInt(fence) < end) return false;
    }
  return true;
}

async function memoryOf(admin: { info(section: string): Promise<string> }): Promise<number> {
  return Math.round(Number(/used_memory:(\d+)/.exec(await admin.info('memory'))?.[1] ?? 0) / 2 ** 20);
}

function wrongOf(topic: Topic, states: readonly { readonly cells: readonly SpeedCell[] }[]): string[] {
  const cells = states.flatMap((state) => state.cells);
  const count = cells.reduce((sum, cell) => sum + cell.count, 0);
  const sum = cells.reduce((all, cell) => all + cell.sum, 0n);
  const distinct = new Set(cells.map(({ tenant, minute }) => `${tenant} ${String(minute)}`)).size;
  return [
    ...(count === topic.count ? [] : [`${String(count)} events, not ${String(topic.count)}`]),
    ...(sum === BigInt(topic.sum) * 10n ** 9n ? [] : [`a sum of ${String(sum)}`]),
    ...(distinct === topic.cells ? [] : [`${String(distinct)} cells, not ${String(topic.cells)}`]),
  ];
}
