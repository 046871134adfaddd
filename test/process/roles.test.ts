/** Roles as processes over real servers: killed and added at any time, and every answer is right. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { describeKafka, type TestKafka } from '../support/kafka-services.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { describeRedis } from '../support/redis-services.ts';
import type { S3Server } from '../support/s3-server.ts';
import { describeS3 } from '../support/s3-services.ts';
import { describePostgres, type TestDatabase } from '../support/postgres-services.ts';
import { untilWithin } from '../support/poll.ts';
import { type Environment, environmentOf, RoleProcess } from '../support/role-process.ts';

const until = untilWithin(120_000);
const EACH_SEND = 20;

interface Answer {
  readonly rows: readonly { readonly value: string; readonly count: number }[];
  readonly proof: { readonly state: string; readonly reason?: string };
}

describeKafka('roles as processes', {}, (kafka) => {
  describeS3('roles as processes', (s3) => {
    describeRedis('roles as processes', () => {
      describePostgres('roles as processes', (database) => {
        suite(kafka, s3, database);
      });
    });
  });
});

function suite(kafka: () => TestKafka, s3: () => S3Server, database: TestDatabase): void {
  let redis: RedisServer;
  let common: Environment;
  let running: RoleProcess[];

  beforeEach(async () => {
    running = [];
    redis = await startRedis();
    const servers = { database: await database.empty(), redis, s3: s3(), bucket: await s3().bucket() };
    common = { ...environmentOf(servers), METERFOLD_BUCKETS: '4', METERFOLD_EPOCH_MS: '60000' };
  }, 120_000);
  afterEach(async () => {
    await Promise.all(running.map((one) => one.kill()));
    await redis.stop();
  }, 60_000);

  const start = async (role: string, log: Environment): Promise<RoleProcess> => {
    const one = await RoleProcess.start(role, { ...common, ...log });
    running.push(one);
    return one;
  };

  const now = new Date().toISOString();
  const event = (n: number) => ({
    ...{ tenant_id: `t${String(n % 7)}`, event_type: 'calls', quantity: '0.5', idempotency_key: `k${String(n)}` },
    event_timestamp: now,
  });
  /** Until it is acknowledged, by whichever process is there. */
  const send = (from: number, count: number, to: () => RoleProcess) =>
    until(
      `events from ${String(from)} are acknowledged`,
      async () => {
        const body = JSON.stringify(Array.from({ length: count }, (_, n) => event(from + n)));
        const headers = { 'content-type': 'application/json' };
        return to()
          .ask<{ accepted: number }>('/v1/events', { method: 'POST', headers, body })
          .catch(() => ({ accepted: 0 }));
      },
      ({ accepted }) => accepted === count,
    );
  const day = (n: number): string => new Date((Math.floor(Date.now() / 86_400_000) + n) * 86_400_000).toISOString();
  const total = (api: RoleProcess) => api.ask<Answer>(`/v1/meters/calls/query?from=${day(-1)}&to=${day(2)}`);
  /** Where there is no answer: nothing is counted yet, or a dependency is away for a moment. */
  const NONE: Answer = { rows: [], proof: { state: 'none' } };
  const totalSoon = (api: RoleProcess): Promise<Answer> =>
    total(api).catch((error: unknown) => {
      if (error instanceof Error && /: (404|503) /.test(error.message)) return NONE;
      throw error;
    });

  /** Everything starts at once on empty servers, then what the list names dies in turn while events come in. */
  async function isExactUnder(log: Environment, victims: readonly string[]): Promise<void> {
    const wanted = ['ingest', 'worker', 'worker', 'publisher', 'publisher', 'relay', 'scheduler', 'api'];
    await Promise.all(wanted.map((role) => start(role, log)));
    const of = (role: string): RoleProcess => {
      const found = running.find((one) => one.role === role && !one.isDead);
      if (found === undefined) throw new Error(`no ${role} runs`);
      return found;
    };
    let sent = 0;
    let seen = 0;
    for (const victim of victims) {
      for (let n = 0; n < 5; n += 1, sent += EACH_SEND) await send(sent, EACH_SEND, () => of('ingest'));
      const dying = of(victim);
      await dying.kill();
      await start(victim, log);
      // Before everything is counted again: never more than was sent, never less than was seen.
      const { rows } = await until(
        'an answer',
        () => totalSoon(of('api')),
        (found) => found !== NONE,
      );
      const count = rows[0]?.count ?? 0;
      expect(count).toBeGreaterThanOrEqual(seen);
      expect(count).toBeLessThanOrEqual(sent);
      seen = count;
    }
    await send(0, sent, () => of('ingest'));
    const { rows } = await until(
      'every event counts once',
      () => totalSoon(of('api')),
      ({ rows: [row], proof }) => row?.count === sent && proof.state === 'exact',
    );
    expect(rows[0]?.value).toBe(String(sent / 2));
    expect(await of('api').ask('/v1/verify', { method: 'POST' })).toMatchObject({ ok: true, merged: sent });
    for (const one of running.filter(({ isDead }) => !isDead)) {
      await one.kill('SIGTERM');
      expect(`${one.role} ${String(one.exitCode)}`).toBe(`${one.role} 0`);
    }
  }

  const victims = ['worker', 'ingest', 'publisher', 'worker', 'scheduler', 'relay', 'api', 'worker'];

  test('over Kafka, workers share by its groups', { timeout: 300_000 }, async () => {
    const topic = await kafka().topic(3);
    const of = { TOPIC: topic, BROKERS: kafka().brokers.join(), GROUP: topic, MIN_INSYNC_REPLICAS: '1' };
    const log = Object.fromEntries(Object.entries(of).map(([name, value]) => [`METERFOLD_KAFKA_${name}`, value]));
    await isExactUnder({ ...log, METERFOLD_PARTITIONS: '3' }, victims);
  });

  test('over the log in PostgreSQL, workers share by leases', { timeout: 300_000 }, async () => {
    await isExactUnder({ METERFOLD_PARTITIONS: '3' }, victims);
  });

  test('a role says which server it needs', async () => {
    const without = Object.fromEntries(Object.entries(common).filter(([name]) => name !== 'METERFOLD_REDIS_URLS'));
    await expect(RoleProcess.start('worker', without)).rejects.toThrow(/BAD_CONFIG.*redisUrls/);
  });

  test('each serves what it is for, and its health', { timeout: 120_000 }, async () => {
    const log = { METERFOLD_PARTITIONS: '1' };
    const [ingest, api, worker] = await Promise.all(['ingest', 'api', 'worker'].map((role) => start(role, log)));
    const status = async (one: RoleProcess | undefined, path: string, method = 'GET'): Promise<number> =>
      (await fetch(`${one?.url ?? ''}${path}`, { method })).status;
    expect(await Promise.all([ingest, api, worker].map((one) => status(one, '/readyz')))).toEqual([200, 200, 200]);
    expect(await Promise.all([ingest, api, worker].map((one) => status(one, '/metrics')))).toEqual([200, 200, 200]);
    expect(await Promise.all([ingest, api, worker].map((one) => status(one, '/v1/tenants')))).toEqual([404, 200, 404]);
    expect(await Promise.all([api, worker].map((one) => status(one, '/v1/events', 'POST')))).toEqual(
      [404, 404].map((n) => expect.toBeOneOf([n, 405])),
    );
    expect(await status(worker, '/v1/verify', 'POST')).toBe(404);
  });
}
