/** The production topology by configuration alone: Kafka, Redis, S3 and PostgreSQL, each a real server. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Product, startProduct } from '../../src/cli/product.ts';
import { systemClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config.ts';
import { openLog } from '../../src/observe/log.ts';
import { describeKafka, type TestKafka } from '../support/kafka-services.ts';
import { type AnyRedis, describeRedis } from '../support/redis-services.ts';
import { describeS3 } from '../support/s3-services.ts';
import type { S3Server } from '../support/s3-server.ts';
import { describePostgres, type TestDatabase } from '../support/postgres-services.ts';
import { untilWithin } from '../support/poll.ts';

/** Longer than a segment of this format stays open: what is misrouted goes home with its seal. */
const DEADLINE_MS = 100_000;
const TENANTS = 7;

const until = untilWithin(DEADLINE_MS);

describeKafka('production topology', {}, (kafka) => {
  describeS3('production topology', (s3) => {
    describeRedis(
      'production topology',
      (_name, redis) => {
        describePostgres('production topology', (database) => {
          topology(kafka, s3, redis, database);
        });
      },
      'empty',
    );
  });
});

interface Answer {
  readonly rows: readonly { readonly value: string; readonly count: number }[];
  readonly proof: { readonly state: string; readonly reason?: string };
}

function topology(
  kafka: () => TestKafka,
  s3: () => S3Server,
  openRedis: () => Promise<AnyRedis>,
  database: TestDatabase,
): void {
  let dataDir: string;
  let redis: AnyRedis;
  let product: Product;
  let flags: Record<string, unknown>;
  let bucket: string;
  let topic: string;

  const start = async (): Promise<void> => {
    const config = parseConfig({ flags });
    product = await startProduct(config, { clock: systemClock, random: Math.random, log: openLog({ level: 'silent' }) });
    await product.ready();
  };
  const ask = async <T>(path: string, init?: RequestInit): Promise<T> => {
    const response = await fetch(`${product.url}${path}`, init);
    const body = (await response.json()) as T;
    if (!response.ok) throw new Error(`${String(response.status)} ${JSON.stringify(body)}`);
    return body;
  };
  const now = new Date().toISOString();
  const event = (n: number, quantity = '0.5') => ({
    ...{ tenant_id: `t${String(n % TENANTS)}`, event_type: 'calls', quantity, idempotency_key: `k${String(n)}` },
    event_timestamp: now,
  });
  const send = (events: readonly object[]) =>
    ask<{ rejected: number; token: string }>('/v1/events', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(events),
    });
  const day = (n: number): string => new Date((Math.floor(Date.now() / 86_400_000) + n) * 86_400_000).toISOString();
  const total = (more = '') => ask<Answer>(`/v1/meters/calls/query?from=${day(-1)}&to=${day(2)}${more}`);
  const verified = () => ask<{ ok: boolean; archived: number; merged: number }>('/v1/verify', { method: 'POST' });
  const exactly = (count: number) =>
    until('exact', total, ({ rows, proof }) => rows[0]?.count === count && proof.state === 'exact');

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'meterfold-production-'));
    redis = await openRedis();
    bucket = await s3().bucket();
    topic = await kafka().topic(3);
    const { access } = s3();
    process.env.AWS_ACCESS_KEY_ID = access.credentials.accessKeyId;
    process.env.AWS_SECRET_ACCESS_KEY = access.credentials.secretAccessKey;
    const { host, port, user, password = '', database: name } = await database.empty();
    const login = [user, password].map(encodeURIComponent).join(':');
    flags = {
      ...{ dataDir, port: 0, logLevel: 'silent', partitions: 3, buckets: 4 },
      databaseUrl: `postgres://${login}@${encodeURIComponent(host)}:${String(port)}/${name}`,
      ...{ kafkaBrokers: kafka().brokers, kafkaTopic: topic, kafkaMinInsyncReplicas: 1 },
      redisUrls: [redis.url],
      ...{ s3Bucket: bucket, s3Endpoint: access.endpoint, s3Region: access.region, s3PathStyle: true, archiveFormat: 4 },
    };
    await start();
  }, 120_000);
  afterAll(async () => {
    await product.close();
    await redis.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  test('what comes over HTTP and from a producer that is not ours counts once', { timeout: 120_000 }, async () => {
    const events = Array.from({ length: 300 }, (_, n) => event(n));
    const { token, rejected } = await send([...events, ...events.slice(0, 100)]);
    expect(rejected).toBe(0);
    expect((await total(`&after=${token}`)).rows[0]).toMatchObject({ value: '150', count: 300 });
    const producer = kafka().client.producer();
    await producer.connect();
    // Copies, new ones, and some without a key, which land anywhere.
    const messages = Array.from({ length: 200 }, (_, n) => event(200 + n)).map((one, n) => ({
      key: n % 5 === 0 ? null : one.tenant_id,
      value: JSON.stringify(one),
    }));
    await producer.send({ topic, messages });
    await producer.disconnect();
    expect((await exactly(400)).rows[0]).toMatchObject({ value: '200' });
    expect(await verified()).toMatchObject({ ok: true, merged: 400 });
  });

  test('a wiped Redis is noticed, answers go on, and it is filled again', { timeout: 120_000 }, async () => {
    await redis.admin().flushall();
    const { proof } = await total();
    expect(['exact', 'provisional']).toContain(proof.state);
    await send([event(400)]);
    expect((await exactly(401)).rows[0]).toMatchObject({ value: '200.5' });
    expect(await verified()).toMatchObject({ ok: true, merged: 401 });
  });

  test(
    'a start finds everything where it was, and objects lie in the bucket once segments close',
    { timeout: 120_000 },
    async () => {
      await product.close();
      await start();
      expect((await exactly(401)).rows[0]).toMatchObject({ value: '200.5' });
      // Segments of this format close a minute after their first record.
      await until('sealed', verified, ({ archived }) => archived >= 400);
      const { Contents = [] } = await s3().client.send(new ListObjectsV2Command({ Bucket: bucket }));
      expect(Contents.filter(({ Key = '' }) => Key.includes('segments/')).length).toBeGreaterThan(0);
      expect((await exactly(401)).rows[0]).toMatchObject({ value: '200.5' });
      expect(await verified()).toMatchObject({ ok: true });
    },
  );
}
