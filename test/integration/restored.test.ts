/** PostgreSQL put back to a backup beside a Redis, a log and an archive that go on: noticed, refused, and exact once it is said. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { type Product, startProduct } from '../../src/cli/product.ts';
import { restoredCommand } from '../../src/cli/restored.ts';
import { parseConfig } from '../../src/config.ts';
import type { Streams } from '../../src/cli/output.ts';
import { openLog } from '../../src/observe/log.ts';
import { VARIABLE } from '../support/other-database-log.ts';
import { untilWithin } from '../support/poll.ts';
import type { Connection } from '../support/postgres-server.ts';
import { describePostgres, type TestDatabase } from '../support/postgres-services.ts';
import { type AnyRedis, describeRedis } from '../support/redis-services.ts';
import { databaseUrl } from '../support/role-process.ts';

const until = untilWithin(30_000);
const MODULE = fileURLToPath(new URL('../support/other-database-log.ts', import.meta.url));

describeRedis(
  'PostgreSQL restored',
  (_name, redis) => {
    describePostgres('PostgreSQL restored', (database) => {
      suite(redis, database);
    });
  },
  'empty',
);

const silent = (): void => undefined;
const SILENT = { out: silent, err: silent, bytes: () => Promise.resolve(), isTerminal: false } as unknown as Streams;

interface Answer {
  readonly rows: readonly { readonly count: number }[];
  readonly proof: {
    readonly state: string;
    readonly lineages: readonly { readonly batch: { readonly segments: number } }[];
  };
}

function suite(openRedis: () => Promise<AnyRedis>, database: TestDatabase): void {
  let dataDir: string;
  let redis: AnyRedis;
  let live: Connection;
  let product: Product | undefined;
  let flags: Record<string, unknown>;

  const start = async (): Promise<void> => {
    const log = openLog({ level: 'silent' });
    product = await startProduct(parseConfig({ flags }), { clock: systemClock, random: Math.random, log });
    await product.ready();
  };
  const stop = async (): Promise<void> => {
    await product?.close();
    product = undefined;
  };
  const ask = async <T>(path: string, init?: RequestInit): Promise<T> => {
    const response = await fetch(`${product?.url ?? ''}${path}`, init);
    const body = (await response.json()) as T;
    if (!response.ok) throw new Error(`${String(response.status)} ${JSON.stringify(body)}`);
    return body;
  };
  const now = new Date().toISOString();
  const send = (from: number, to: number) =>
    ask<{ rejected: number; token: string }>('/v1/events', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(
        Array.from({ length: to - from }, (_, n) => ({
          ...{ tenant_id: `t${String((from + n) % 5)}`, event_type: 'calls', quantity: '1', event_timestamp: now },
          idempotency_key: `k${String(from + n)}`,
        })),
      ),
    });
  const day = (n: number): string => new Date((Math.floor(Date.now() / 86_400_000) + n) * 86_400_000).toISOString();
  const total = (after = '') => ask<Answer>(`/v1/meters/calls/query?from=${day(-1)}&to=${day(2)}${after}`);
  const countAfter = async (token: string): Promise<unknown> => {
    const { rows, proof } = await total(`&after=${token}`);
    return [rows[0]?.count, proof.state];
  };
  /** Everything is folded, and the live counters of it are gone. */
  const collected = async (least: number): Promise<void> => {
    const { proof } = await until('published', total, ({ proof: { lineages } }) =>
      lineages.every(({ batch }) => batch.segments >= least),
    );
    const wanted = proof.lineages.map(({ batch }) => batch.segments);
    await until(
      'collected',
      async () => (await product?.stores.speed.read([0, 1], { toMinute: 0 })) ?? [],
      (states) => states.every(({ floors }) => [...floors.values()].every((floor, n) => floor >= (wanted[n] ?? 0))),
    );
  };
  const admin = async (...texts: readonly string[]): Promise<void> => {
    const client = new pg.Client({ ...live, database: 'postgres' });
    await client.connect();
    for (const text of texts) await client.query(text);
    await client.end();
  };

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'meterfold-restored-'));
    redis = await openRedis();
    live = await database.empty();
    process.env[VARIABLE] = databaseUrl(await database.empty());
    flags = {
      ...{ dataDir, port: 0, logLevel: 'silent', partitions: 2, buckets: 2, tickMs: 100, gcGraceMs: 100 },
      ...{ databaseUrl: databaseUrl(live), logModule: MODULE, redisUrls: [redis.url], archiveFormat: 1 },
    };
  }, 60_000);
  afterAll(async () => {
    await stop();
    await redis.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  test(
    'restored behind what Redis knows: starts are refused, and exact once the operator has said so',
    { timeout: 120_000 },
    async () => {
      await start();
      await send(0, 100);
      await collected(1);
      await stop();
      await admin(`CREATE DATABASE ${live.database}_backup TEMPLATE ${live.database}`);
      await start();
      const { token } = await send(100, 250);
      expect(await countAfter(token)).toEqual([250, 'exact']);
      await collected(2);
      await stop();
      await admin(
        `DROP DATABASE ${live.database} WITH (FORCE)`,
        `ALTER DATABASE ${live.database}_backup RENAME TO ${live.database}`,
      );
      await expect(start()).rejects.toMatchObject({ code: 'DATABASE_RESTORED', kind: 'fatal' });
      const out: string[] = [];
      const streams = { ...SILENT, out: (text: string) => void out.push(text) };
      expect(await restoredCommand(parseConfig({ flags }), {}, streams)).toBe(0);
      expect(out.join()).toMatch(/counters of 2 buckets are freed/);
      // What was told of beats stays; nothing else does.
      expect(await redis.admin().keys('*')).toEqual(['mf{beat}']);
      await start();
      const again = await send(0, 260);
      expect(again.rejected).toBe(0);
      expect(await countAfter(again.token)).toEqual([260, 'exact']);
      await collected(3);
      expect((await total()).rows[0]).toMatchObject({ count: 260 });
      expect(await ask('/v1/verify', { method: 'POST' })).toMatchObject({ ok: true, merged: 260 });
    },
  );

  test('who runs on through a restore stops by itself, and answers nothing', { timeout: 60_000 }, async () => {
    const failed = expect(product?.failed).rejects.toMatchObject({ code: 'DATABASE_RESTORED' });
    await restoredCommand(parseConfig({ flags }), { json: true }, SILENT);
    await expect(total()).rejects.toThrow(/DATABASE_RESTORED/);
    await failed;
  });
}
