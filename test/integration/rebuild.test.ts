/** The batch view made anew beside the one that answers, compared, and put in its place while events and queries go on. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Product, startProduct } from '../../src/cli/product.ts';
import { systemClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config.ts';
import { openLog } from '../../src/observe/log.ts';
import { VIEW_TABLES } from '../../src/sinks/postgres/rebuild-sql.ts';
import { describeEachDatabase, type TestDatabase } from '../support/postgres-services.ts';
import { untilWithin } from '../support/poll.ts';

const DEADLINE_MS = 60_000;

const until = untilWithin(DEADLINE_MS);

interface Status {
  readonly state: string;
  readonly segments: number;
  readonly of_segments: number;
  readonly differences: readonly { readonly table: string; readonly key: string }[];
}

const ONE = 'meters:\n  - { key: tokens, event_type: tokens, aggregation: sum }\n';
const TWO = `
meters:
  - { key: tokens, event_type: tokens, aggregation: sum, filter: { model: large } }
  - { key: users, event_type: tokens, aggregation: unique_count, value: user, group_by: [model] }
  - { key: last, event_type: tokens, aggregation: latest }
`;

/** When a row was written is no part of what it says. */
const CLOCKS: ReadonlySet<string> = new Set(['published_at', 'computed_at', 'served_at']);

describeEachDatabase('rebuild', (database) => {
  describe(`rebuild on ${database.name}`, () => {
    rebuilds(database);
  });
});

function rebuilds(database: TestDatabase): void {
  let dataDir: string;
  let product: Product;
  let databaseUrl: string | undefined;
  const hour = Math.floor(Date.now() / 3_600_000) - 3;
  const at = (seconds: number): string => new Date(hour * 3_600_000 + seconds * 1000).toISOString();
  let serial = 0;
  let sum = 0;

  const start = async (meters: string): Promise<void> => {
    const metersFile = join(dataDir, 'meters.yaml');
    await writeFile(metersFile, meters);
    const config = parseConfig({ flags: { dataDir, port: 0, logLevel: 'silent', metersFile, databaseUrl } });
    product = await startProduct(config, { clock: systemClock, random: () => 0.5, log: openLog({ level: 'silent' }) });
    await product.ready();
  };
  const ask = async <T>(path: string, init?: RequestInit): Promise<T> => {
    const response = await fetch(`${product.url}${path}`, init);
    const body = (await response.json()) as T;
    if (!response.ok) throw new Error(`${String(response.status)} ${JSON.stringify(body)}`);
    return body;
  };
  const event = () => {
    serial += 1;
    sum += serial;
    return {
      ...{ tenant_id: `t${String(serial % 30)}`, event_type: 'tokens', quantity: String(serial) },
      ...{ idempotency_key: `k${String(serial)}`, event_timestamp: at(serial % 7000) },
      properties: { model: serial % 3 === 0 ? 'large' : 'small', user: `u${String(serial % 11)}` },
    };
  };
  const send = async (events: readonly object[], query = ''): Promise<string> => {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(events) };
    return (await ask<{ token: string }>(`/v1/events${query}`, init)).token;
  };
  const usage = async (more = ''): Promise<number> => {
    const path = `/v1/meters/users/query?from=${at(-3600)}&to=${at(3600 * 3)}${more}`;
    return (await ask<{ rows: { count: number }[] }>(path)).rows[0]?.count ?? 0;
  };
  const verified = () => ask<{ ok: boolean }>('/v1/verify', { method: 'POST' });
  const status = () => ask<Status>('/v1/rebuild');
  const rebuilt = async (query = ''): Promise<Status> => {
    await ask(`/v1/rebuild${query}`, { method: 'POST' });
    return until('rebuilt', status, ({ state }) => state !== 'running');
  };
  const published = (n: number) =>
    until(
      'published',
      () => ask<{ event_types: { events: number }[] }>('/v1/event-types'),
      (found) => found.event_types[0]?.events === n,
    );
  const dump = async (): Promise<Record<string, readonly string[]>> => {
    const tables: Record<string, readonly string[]> = {};
    for (const table of VIEW_TABLES) {
      const { rows } = await product.stores.pool.query<Record<string, unknown>>(`SELECT * FROM ${table}`);
      const said = rows.map((row) => JSON.stringify(Object.entries(row).filter(([name]) => !CLOCKS.has(name))));
      tables[table] = said.sort();
    }
    return tables;
  };

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'meterfold-rebuild-'));
    if (database.kind === 'postgres') {
      const { host, port, user, database: name } = await database.empty();
      databaseUrl = `postgres://${user}@${encodeURIComponent(host)}:${String(port)}/${name}`;
    }
    await start(ONE);
    await send(Array.from({ length: 300 }, event));
    const conflict = { ...event(), idempotency_key: 'k1', quantity: '77' };
    sum -= serial;
    serial -= 1;
    await send([conflict]);
    await published(300);
    await product.close();
    await start(TWO);
    const listed = () => ask<{ meters: { state: string }[] }>('/v1/meters');
    await until('filled', listed, ({ meters }) => meters.every(({ state }) => state === 'serving'));
  });
  afterAll(async () => {
    await product.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  test('a rebuild of a view that is at rest gives the same bytes in every table', async () => {
    expect(await status()).toMatchObject({ state: 'none' });
    const before = await dump();
    expect(await rebuilt()).toMatchObject({ state: 'flipped', differences: [] });
    expect(await dump()).toEqual(before);
    expect(await verified()).toMatchObject({ ok: true });
  });

  test('events and queries go on through a rebuild, and every answer has what was acknowledged before it', async () => {
    const over = new AbortController();
    const isOver = (): boolean => over.signal.aborted;
    const writer = (async () => {
      while (!isOver()) {
        const token = await send(Array.from({ length: 20 }, event));
        expect(await usage(`&after=${token}`)).toBe(serial);
      }
    })();
    const reader = (async () => {
      for (let last = 0; !isOver();) {
        const count = await usage();
        expect(count).toBeLessThanOrEqual(serial);
        // Nothing that was answered once is ever missing.
        expect(count).toBeGreaterThanOrEqual(last);
        last = count;
      }
    })();
    const done = await rebuilt().finally(() => over.abort());
    await Promise.all([writer, reader]);
    expect(done).toMatchObject({ state: 'flipped', differences: [] });
    await published(serial);
    expect(await usage()).toBe(serial);
    expect(await verified()).toMatchObject({ ok: true });
  });

  test('what differs is named and stays as it is until it is accepted', async () => {
    const { pool } = product.stores;
    await pool.query(`UPDATE rollups SET sum = sum + 1 WHERE tenant_id = 't7' AND meter = 'tokens@1'`);
    await pool.query(`DELETE FROM usage_hourly WHERE tenant_id = 't9'`);
    await pool.query(`DELETE FROM rejects WHERE code = 'KEY_CONFLICT'`);
    const found = await rebuilt();
    expect(found.state).toBe('differs');
    expect([...new Set(found.differences.map(({ table }) => table))].sort()).toEqual(['rejects', 'rollups', 'usage_hourly']);
    expect(found.differences.some(({ key }) => key.includes('"t7"'))).toBe(true);
    expect(await verified()).toMatchObject({ ok: false });
    expect(await rebuilt('?accept_differences=1')).toMatchObject({ state: 'flipped' });
    expect(await verified()).toMatchObject({ ok: true });
    const { rejects } = await ask<{ rejects: { code: string }[] }>('/v1/rejects');
    expect(rejects.map(({ code }) => code)).toEqual(['KEY_CONFLICT']);
    expect(await rebuilt()).toMatchObject({ state: 'flipped', differences: [] });
  });

  test('what was left is gone on with, also under meters that were declared meanwhile; or it is given up', async () => {
    await product.stores.pool.query(`UPDATE rollups SET count = count + 1 WHERE tenant_id = 't3'`);
    expect(await rebuilt()).toMatchObject({ state: 'differs' });
    await product.close();
    await start(`${TWO}  - { key: calls, event_type: tokens, aggregation: count }\n`);
    expect(await status()).toMatchObject({ state: 'left' });
    await send([event()]);
    expect(await rebuilt('?accept_differences=1')).toMatchObject({ state: 'flipped' });
    const path = `/v1/meters/calls/query?from=${at(-3600)}&to=${at(3600 * 3)}`;
    const listed = () => ask<{ meters: { state: string }[] }>('/v1/meters');
    await until('filled', listed, ({ meters }) => meters.every(({ state }) => state === 'serving'));
    expect((await ask<{ rows: { value: string }[] }>(path)).rows[0]?.value).toBe(String(serial));
    await product.stores.pool.query(`UPDATE rollups SET count = count + 1 WHERE tenant_id = 't3'`);
    expect(await rebuilt()).toMatchObject({ state: 'differs' });
    expect(await ask('/v1/rebuild', { method: 'DELETE' })).toMatchObject({ state: 'none' });
    expect(await status()).toMatchObject({ state: 'none' });
    expect(await rebuilt('?accept_differences=1')).toMatchObject({ state: 'flipped' });
    expect(await verified()).toMatchObject({ ok: true });
  });

  test('months that a process remembers are there after the flip', async () => {
    const old = (n: number) => ({ ...event(), event_timestamp: new Date(Date.now() - n * 86_400_000).toISOString() });
    await send([old(200)], '?history=1');
    await published(serial);
    expect(await rebuilt()).toMatchObject({ state: 'flipped', differences: [] });
    await send([old(199), old(1)], '?history=1');
    await published(serial);
    expect(await verified()).toMatchObject({ ok: true });
    expect(sum).toBe((serial * (serial + 1)) / 2);
  });
}
