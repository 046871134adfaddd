/** Rejects go home after the mistake is mended, as a user does it: by the command, over HTTP and from a directory without a server. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Product, startProduct } from '../../src/cli/product.ts';
import { program } from '../../src/cli/program.ts';
import { systemClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config.ts';
import { openLog } from '../../src/observe/log.ts';
import { describeEachDatabase } from '../support/postgres-services.ts';
import { untilWithin } from '../support/poll.ts';

const DEADLINE_MS = 60_000;
/** More than a page of a redrive, less than two. */
const LATE = 700;
/** Sent twice: two rejects of one key. */
const TWICE = 20;

const until = untilWithin(DEADLINE_MS);

async function meterfold(...argv: readonly string[]): Promise<{ code: number; out: string }> {
  const printed = { out: '' };
  const streams = {
    out: (text: string) => void (printed.out += `${text}\n`),
    err: (text: string) => void (printed.out += `${text}\n`),
    bytes: async (text: string) => void (printed.out += text),
    isTerminal: false,
  };
  const context = { env: { METERFOLD_LOG_LEVEL: 'silent' }, streams, stop: new AbortController().signal, random: () => 0.5 };
  return { code: await program(context, argv), ...printed };
}

interface Report {
  readonly judged: number;
  readonly would_count: number;
  readonly redriven: number;
  readonly fates: readonly { readonly code: string; readonly now: string; readonly rejects: number }[];
}
interface Listed {
  readonly rejects: readonly {
    readonly code: string;
    readonly lineage: string;
    readonly position: string;
    readonly redriven_at: string | null;
  }[];
  readonly next: string | null;
}

describeEachDatabase('a redrive', (database) => {
  let dataDir: string;
  let product: Product;
  let databaseUrl: string | undefined;
  const now = Date.now();
  const event = (tenant: string, n: number, quantity = '2') => ({
    ...{ tenant_id: tenant, event_type: 'calls', quantity, idempotency_key: `k${String(n)}` },
    event_timestamp: new Date(now - n).toISOString(),
  });
  const events = (tenant: string, from: number, to: number) =>
    Array.from({ length: to - from }, (_, n) => event(tenant, from + n));

  const configure = async (...tenants: readonly string[]): Promise<void> => {
    const lines = [`tenants: "${tenants.join(',')}"`, ...(databaseUrl === undefined ? [] : [`databaseUrl: ${databaseUrl}`])];
    await writeFile(join(dataDir, 'config.yaml'), `${lines.join('\n')}\n`);
  };
  const start = async (...tenants: readonly string[]): Promise<void> => {
    await configure(...tenants);
    const file = `tenants: "${tenants.join(',')}"`;
    const flags = { dataDir, port: 0, logLevel: 'silent', ...(databaseUrl === undefined ? {} : { databaseUrl }) };
    const ports = { clock: systemClock, random: () => 0.5, log: openLog({ level: 'silent' }) };
    product = await startProduct(parseConfig({ flags, file, fileDir: dataDir }), ports);
    await product.ready();
  };
  const ask = async <T>(path: string, body?: unknown): Promise<T> => {
    const headers = { 'content-type': 'application/json' };
    const init = body === undefined ? {} : { method: 'POST', headers, body: JSON.stringify(body) };
    const response = await fetch(`${product.url}${path}`, init);
    if (!response.ok) throw new Error(`${String(response.status)} ${await response.text()}`);
    return (await response.json()) as T;
  };
  const send = (batch: readonly object[]) => ask<{ token: string }>('/v1/events', batch);
  const usage = async (tenant: string): Promise<readonly [string, number]> => {
    const day = (n: number): string => new Date((Math.floor(now / 86_400_000) + n) * 86_400_000).toISOString();
    interface Answer {
      readonly rows: readonly { readonly value: string; readonly count: number }[];
    }
    const { rows } = await ask<Answer>(`/v1/meters/calls/query?from=${day(-1)}&to=${day(2)}&tenant=${tenant}`);
    return [rows[0]?.value ?? '0', rows[0]?.count ?? 0];
  };
  const verified = async (): Promise<boolean> => {
    const response = await fetch(`${product.url}/v1/verify`, { method: 'POST' });
    return ((await response.json()) as { ok: boolean }).ok;
  };
  const listed = async (): Promise<Listed['rejects']> => {
    const found: Listed['rejects'][number][] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const page: Listed = await ask<Listed>(`/v1/rejects?limit=500${cursor === '' ? '' : `&cursor=${cursor}`}`);
      found.push(...page.rejects);
      cursor = page.next;
    }
    return found;
  };
  const redrive = async (...flags: readonly string[]): Promise<Report> => {
    const { code, out } = await meterfold('rejects', 'redrive', '--json', '--url', product.url, ...flags);
    expect(code).toBe(0);
    return JSON.parse(out) as Report;
  };
  const published = (tenants: Readonly<Record<string, number>>): Promise<boolean> =>
    until('published', async () => {
      const { tenants: rows } = await ask<{ tenants: { tenant: string; events: number }[] }>('/v1/tenants');
      return Object.entries(tenants).every(([tenant, n]) => rows.some((row) => row.tenant === tenant && row.events === n));
    });

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'meterfold-redrive-'));
    if (database.kind === 'postgres') {
      const { host, port, user, database: name, password = '' } = await database.empty();
      databaseUrl = `postgres://${user}:${password}@${host}:${String(port)}/${name}`;
    }
    await start('known');
  });
  afterAll(async () => {
    await product.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  test('before the mistake is mended nothing would count, and nothing is redriven', async () => {
    await send([...events('known', 0, 10), event('known', 0, '3')]);
    await send(events('late', 0, 400));
    await send([...events('late', 400, LATE), ...events('late', 0, TWICE)]);
    await send(events('never', 0, 5));
    await product.stores.log.append([{ routingKey: 'x', value: Buffer.from('not an event') }]);
    await until('rejected', async () => (await listed()).length === LATE + TWICE + 5 + 2);
    expect(await redrive()).toEqual({
      dry_run: false,
      judged: LATE + TWICE + 5 + 2,
      would_count: 0,
      redriven: 0,
      fates: [
        { code: 'KEY_CONFLICT', now: 'KEY_CONFLICT', rejects: 1 },
        { code: 'UNDECODABLE', now: 'UNDECODABLE', rejects: 1 },
        { code: 'UNKNOWN_TENANT', now: 'UNKNOWN_TENANT', rejects: LATE + TWICE + 5 },
      ],
    });
    const { code, out } = await meterfold('rejects', 'redrive', '--url', product.url);
    expect(code).toBe(0);
    expect(out).toContain(`nothing redriven: none of ${String(LATE + TWICE + 7)} would count now`);
  });

  test('a dry run says what would count, and writes nothing', async () => {
    await product.close();
    await start('known', 'late');
    const { code, out } = await meterfold('rejects', 'redrive', '--dry-run', '--url', product.url);
    expect(code).toBe(0);
    const rows = out.split('\n').map((line) => line.split(/ {2,}/));
    expect(rows).toContainEqual(['UNKNOWN_TENANT', 'would count', String(LATE + TWICE)]);
    expect(rows).toContainEqual(
      ['UNKNOWN_TENANT', 'still UNKNOWN_TENANT', '5'].map((cell, n) => (n === 2 ? expect.stringMatching(/^ *5$/) : cell)),
    );
    expect(out).toContain('KEY_CONFLICT is never redriven: the first copy of a key stands');
    expect(out).toContain(`${String(LATE + TWICE)} of ${String(LATE + TWICE + 7)} would be redriven; nothing was written`);
    expect((await listed()).filter(({ redriven_at: at }) => at !== null)).toEqual([]);
    expect(await usage('late')).toEqual(['0', 0]);
  });

  test('filters take what they name', async () => {
    const judged = async (...flags: readonly string[]) => (await redrive('--dry-run', ...flags)).judged;
    expect(await judged('--code', 'UNDECODABLE')).toBe(1);
    expect(await judged('--code', 'KEY_CONFLICT')).toBe(1);
    expect(await judged('--tenant', 'never')).toBe(5);
    expect(await judged('--tenant', 'known')).toBe(1);
    expect(await judged('--before', '2020-01-01')).toBe(0);
    expect(await judged('--since', '2020-01-01', '--code', 'UNDECODABLE')).toBe(1);
    const garbage = (await listed()).find(({ code }) => code === 'UNDECODABLE');
    const place = ['--lineage', garbage?.lineage ?? '', '--position', garbage?.position ?? ''];
    expect(await redrive('--dry-run', ...place)).toMatchObject({ judged: 1, fates: [{ code: 'UNDECODABLE' }] });
    const wrong = meterfold('rejects', 'redrive', '--position', '1', '--url', product.url);
    await expect(wrong).rejects.toMatchObject({ code: 'BAD_REQUEST', kind: 'invalid', detail: { field: 'lineage' } });
    expect((await meterfold('rejects', 'redrive', '--all', '--url', product.url)).code).toBe(2);
  });

  test('two redrives at once send each reject once, and each key counts once', async () => {
    const both = await Promise.all([redrive(), redrive()]);
    expect(both.reduce((sum, { redriven }) => sum + redriven, 0)).toBe(LATE + TWICE);
    await until('counted', async () => (await usage('late'))[1] >= LATE);
    expect(await usage('late')).toEqual([String(2 * LATE), LATE]);
    expect(await verified()).toBe(true);
    await published({ late: LATE });
    expect(await usage('late')).toEqual([String(2 * LATE), LATE]);
    expect(await usage('known')).toEqual(['20', 10]);
    expect(await verified()).toBe(true);
  });

  test('what was redriven stays listed, marked; a second redrive sends nothing and says so', async () => {
    const marked = (await listed()).filter(({ redriven_at: at }) => at !== null);
    expect(marked).toHaveLength(LATE + TWICE);
    expect(new Set(marked.map(({ code }) => code))).toEqual(new Set(['UNKNOWN_TENANT']));
    for (const { redriven_at: at } of marked) expect(Date.parse(at ?? '')).toBeGreaterThanOrEqual(now);
    expect(await redrive()).toMatchObject({ judged: 7, would_count: 0, redriven: 0 });
    const { code, out } = await meterfold('rejects', 'redrive', '--tenant', 'late', '--url', product.url);
    expect([code, out]).toEqual([0, 'nothing redriven: no reject matches that was not redriven before\n']);
    const list = await meterfold('rejects', 'list', '--tenant', 'late', '--limit', '1', '--url', product.url);
    expect(list.out).toMatch(/redriven/);
    const metrics = await (await fetch(`${product.url}/metrics`)).text();
    expect(metrics).toContain(`meterfold_rejects_redriven_total{code="UNKNOWN_TENANT"} ${String(LATE + TWICE)}`);
  });

  test('a key that was sent again meanwhile is not redriven; from a directory the rest goes home at once', async () => {
    await product.close();
    await start('known', 'late', 'never');
    await send([event('never', 0), event('never', 1, '7')]);
    await published({ never: 2 });
    await product.close();
    const directory = ['--data-dir', dataDir, '--config', join(dataDir, 'config.yaml')];
    const dry = await meterfold('rejects', 'redrive', '--dry-run', '--tenant', 'never', ...directory);
    expect(dry.out).toContain('3 of 5 would be redriven');
    const { code, out } = await meterfold('rejects', 'redrive', '--json', '--tenant', 'never', ...directory);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      redriven: 3,
      fates: [
        { now: 'ALREADY_COUNTED', rejects: 1 },
        { now: 'KEY_CONFLICT', rejects: 1 },
        { now: 'ok', rejects: 3 },
      ],
    });
    // Before any start: the command itself has brought them into the log.
    const day = (n: number): string => new Date((Math.floor(now / 86_400_000) + n) * 86_400_000).toISOString();
    const asked = await meterfold(
      'query',
      'calls',
      '--tenant',
      'never',
      '--from',
      day(-1),
      '--to',
      day(2),
      '--json',
      ...directory,
    );
    expect(JSON.parse(asked.out)).toMatchObject({ rows: [{ value: '15', count: 5 }] });
    await start('known', 'late', 'never');
    // Answers are served while the live counters are still filled from the log.
    await until('counted', async () => (await usage('never'))[1] >= 5);
    expect(await usage('never')).toEqual(['15', 5]);
    expect(await verified()).toBe(true);
    expect(await redrive()).toMatchObject({ redriven: 0, would_count: 0, judged: 4 });
  });

  test('a copy that is rejected again is a new reject, at the new position', async () => {
    await product.close();
    await start('known');
    await send(events('other', 0, 3));
    await until('rejected', async () => (await listed()).length === LATE + TWICE + 7 + 3);
    await product.close();
    await start('known', 'other');
    expect(await redrive('--tenant', 'other', '--dry-run')).toMatchObject({ would_count: 3 });
    // The relay finds them after the tenant was taken out again.
    const { pool, ruleSets, rejects } = product.stores;
    const relayed = await pool.query('SELECT count(*) AS n FROM outbox');
    expect(relayed.rows).toEqual([{ n: 0 }]);
    const page = await rejects.waiting({ tenant: 'other' }, { limit: 10 });
    expect(ruleSets.newest.tenants).toEqual(new Set(['known', 'other']));
    await product.close();
    await start('known');
    await product.stores.rejects.redrive(
      page.rejects.map(({ lineage, position, code }) => ({ lineage, position, code, routingKey: 'other' })),
      Date.now(),
    );
    const all = LATE + TWICE + 7 + 3;
    await until('rejected again', async () => (await listed()).length === all + 3);
    expect((await listed()).filter(({ redriven_at: at }) => at !== null)).toHaveLength(LATE + TWICE + 3 + 3);
    expect(await usage('other')).toEqual(['0', 0]);
    expect(await redrive('--tenant', 'other', '--dry-run')).toMatchObject({ judged: 3, would_count: 0 });
    expect(await verified()).toBe(true);
  });
});
