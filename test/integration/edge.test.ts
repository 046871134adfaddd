/** The edge of the whole product: a library's processors and privacy rules, what is recorded of them, and what leaks nowhere. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { importCommand } from '../../src/cli/import.ts';
import { type Product, type ProductPorts, startProduct } from '../../src/cli/product.ts';
import { systemClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config.ts';
import { decodeSegment } from '../../src/domain/avro.ts';
import { type EdgeProcessor, MeterError, type NewEvent, startMeterfold } from '../../src/library.ts';
import { openLog } from '../../src/observe/log.ts';

const now = new Date().toISOString();
const day = now.slice(0, 10);
const range = { from: day, to: new Date(Date.parse(day) + 86_400_000).toISOString() };
const event = (n: number, more: Partial<NewEvent> = {}): NewEvent => ({
  ...{ tenant_id: 'acme', event_type: 'calls', quantity: '1', idempotency_key: `k${String(n)}`, event_timestamp: now },
  ...more,
});
const named = (version: number, process: EdgeProcessor['process'] = () => 'keep'): EdgeProcessor => ({
  name: 'named',
  version,
  process,
});

let dataDir: string;
let lines: string[];
const log = () => openLog({ level: 'trace', stream: { write: (line) => void lines.push(line) } });
beforeEach(async () => {
  lines = [];
  dataDir = await mkdtemp(join(tmpdir(), 'meterfold-edge-'));
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

const start = (flags: Record<string, unknown> = {}, more: Partial<ProductPorts> = {}): Promise<Product> =>
  startProduct(parseConfig({ flags: { dataDir, port: 0, logLevel: 'trace', ...flags } }), {
    ...{ clock: systemClock, random: () => 0.5, log: log(), listens: false },
    ...more,
  });

describe('as a library', () => {
  test('starts, takes events, answers, verifies and closes; what is asked later is refused', async () => {
    const meterfold = await startMeterfold({ dataDir });
    const { accepted, rejected, results, token } = await meterfold.ingest([
      event(1),
      event(1),
      event(2, { quantity: '-1' }),
    ]);
    expect([accepted, rejected, results[2]]).toMatchObject([2, 1, { status: 'rejected', code: 'NEGATIVE_QUANTITY' }]);
    const { rows, proof } = await meterfold.query('calls', { ...range, tenant: 'acme', after: token, window: 'day' });
    expect([rows.map(({ value }) => value), proof.state]).toEqual([['1'], 'exact']);
    expect((await meterfold.verify()).ok).toBe(true);
    expect((await fetch(`${meterfold.url ?? ''}/healthz`)).status).toBe(200);
    await expect(meterfold.query('other', range)).rejects.toMatchObject({ code: 'UNKNOWN_METER', name: 'MeterError' });
    const bad = meterfold.query('calls', { ...range, filter: { region: 'eu' } });
    await expect(bad).rejects.toBeInstanceOf(MeterError);
    await meterfold.close();
    await meterfold[Symbol.asyncDispose]();
    await expect(meterfold.verify()).rejects.toThrow('it is closed');
  });

  test('with port none nothing listens, and a bad option leaves nothing open', async () => {
    const module = join(dataDir, 'none.mjs');
    await expect(startMeterfold({ dataDir, processors: [module] })).rejects.toMatchObject({ code: 'BAD_CONFIG' });
    await writeFile(module, 'export const processor = { name: "x", version: 0, process() {} };');
    await expect(startMeterfold({ dataDir, processors: [module] })).rejects.toThrow('no whole number from 1');
    await expect(startMeterfold({ dataDir, processors: [named(1), named(2)] })).rejects.toThrow('two processors');
    await expect(startMeterfold({ dataDir, logModule: module })).rejects.toThrow('exports no function `openLog`');
    const meterfold = await startMeterfold({ dataDir, port: 'none' });
    expect(meterfold.url).toBeUndefined();
    await meterfold.close();
  });

  test('a log that lacks what was read is refused: its tail would be forgotten', async () => {
    await (await startMeterfold({ dataDir, port: 'none' })).close();
    const logModule = new URL('../../examples/source-module.mjs', import.meta.url).pathname;
    const module = join(dataDir, 'log.mjs');
    const source = await readFile(logModule, 'utf8');
    await writeFile(
      module,
      source.replace(
        /import \{ END, .*\n/,
        "const END = 'END'; const partitionOf = (key, n) => key.length % n; class MeterError extends Error {}\n",
      ),
    );
    await expect(startMeterfold({ dataDir, port: 'none', logModule: module })).rejects.toMatchObject({
      code: 'INSTALLATION_DIFFERS',
      message: expect.stringContaining('has not the lineage pg.'),
    });
  });
});

describe('processors', () => {
  test('one that fails on an event rejects it and no other; what it drops has a code', async () => {
    const product = await start(
      {},
      {
        processors: [
          named(1, ({ idempotency_key: key, properties }) => {
            if (key === 'k1') throw new Error(`planted ${String(properties.secret)}`);
            return key === 'k2' ? { drop: 'NOT_BILLED' } : 'keep';
          }),
        ],
      },
    );
    await product.ready();
    const payload = [1, 2, 3].map((n) => event(n, { properties: { secret: 'planted-secret' } }));
    const headers = { host: 'localhost' };
    const response = await product.app.inject({ method: 'POST', url: '/v1/events', payload, headers });
    expect(response.json()).toMatchObject({
      ...{ accepted: 1, rejected: 1, filtered: 1 },
      results: [
        { status: 'rejected', code: 'PROCESSOR_FAULT', reason: 'processor named@1 threw an error' },
        { status: 'filtered', code: 'NOT_BILLED' },
        { status: 'accepted' },
      ],
    });
    const single = await product.app.inject({ method: 'POST', url: '/v1/events', payload: event(2), headers });
    expect([single.statusCode, single.json()]).toMatchObject([200, { filtered: 1 }]);
    const metrics = (await product.app.inject({ url: '/metrics', headers })).payload;
    expect(metrics).toContain('meterfold_events_filtered_total{code="NOT_BILLED"} 2\n');
    expect(metrics).toContain('meterfold_processor_faults_total{processor="named"} 1\n');
    await product.close();
    const told = lines.find((line) => line.includes('threw an error'));
    expect(JSON.parse(told ?? '{}')).toMatchObject({ processor: 'named', error: 'Error', level: 'error' });
    expect(lines.join('')).not.toContain('planted-secret');
  });

  test('their versions are recorded with their history, and one that goes back is refused', async () => {
    const versions = async (processors: EdgeProcessor[]): Promise<unknown> => {
      const product = await start({}, { processors });
      const { rows } = await product.stores.pool.query('SELECT version, at FROM processors ORDER BY id');
      await product.close();
      return rows.map(({ version, at }: { version: unknown; at: unknown }) => [version, typeof at]);
    };
    expect(await versions([named(1)])).toEqual([[1, 'string']]);
    expect(await versions([named(1)])).toHaveLength(1);
    lines = [];
    expect(await versions([named(3)])).toHaveLength(2);
    expect(lines.map((line) => JSON.parse(line) as object)).toContainEqual(
      expect.objectContaining({ processor: 'named', from: 1, to: 3, msg: 'a processor has changed' }),
    );
    await expect(versions([named(2)])).rejects.toMatchObject({
      code: 'INSTALLATION_DIFFERS',
      message: expect.stringContaining('processor named was used in version 3, is now 2'),
    });
    expect(await versions([])).toEqual([1, 3, null].map((version) => [version, 'string']));
    await expect(versions([named(2)])).rejects.toMatchObject({ code: 'INSTALLATION_DIFFERS' });
  });

  test('an import runs them, counts what they drop by code, and names the line of what they fail on', async () => {
    const module = join(dataDir, 'odd.mjs');
    await writeFile(
      module,
      `export const processor = { name: 'odd', version: 1, process: (event) => {
         if (event.quantity === '3') throw new Error('three');
         return Number(event.quantity) % 2 === 0 ? { drop: 'EVEN' } : 'keep';
       } };`,
    );
    await writeFile(
      join(dataDir, 'rows.csv'),
      `at,amount\n${[1, 2, 3, 4, 5].map((n) => `2026-01-01 00:00:00,${String(n)}`).join('\n')}\n`,
    );
    const mapping = join(dataDir, 'mapping.yaml');
    await writeFile(
      mapping,
      `time: { column: at }\ntenant: { value: acme }\nidempotency_key: "r-{row}"\nevents: [{ event_type: n, quantity: { column: amount } }]\n`,
    );
    const out: string[] = [];
    const streams = {
      out: (text: string) => void out.push(text),
      err: () => undefined,
      bytes: () => Promise.resolve(),
      isTerminal: false,
    };
    const file = `dataDir: ${join(dataDir, 'data')}\nlogLevel: silent\nprocessors: [./odd.mjs]\n`;
    const config = parseConfig({ file, fileDir: dataDir });
    await importCommand(join(dataDir, 'rows.csv'), { mapping, json: true }, config, streams, new AbortController().signal);
    expect(JSON.parse(out[0] ?? '')).toMatchObject({ rows: 5, events: 2, filtered: { EVEN: 2 }, rejected: 1 });
    const rejects = await readFile(join(dataDir, 'rows.csv.rejects.ndjson'), 'utf8');
    expect(JSON.parse(rejects)).toMatchObject({ line: 4, code: 'PROCESSOR_FAULT' });
  });
});

/** Everything that lies in the directory, as latin1. */
async function bytesOf(dir: string): Promise<string> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => readFile(join(entry.parentPath, entry.name), 'latin1'));
  return (await Promise.all(files)).join('\n');
}

describe('privacy', () => {
  const PLANTED = ['planted-value', 'planted_name', 'planted-subject', 'planted-region'];
  const METERS = `
meters:
  - { key: by_region, event_type: calls, aggregation: sum, group_by: [region] }
  - { key: of_eu, event_type: calls, aggregation: sum, filter: { region: planted-region } }
`;
  const privacy = { calls: { default: 'drop', properties: { region: 'hash', subject: 'hash', kept: 'keep' } } };
  const secretive = (n: number): NewEvent =>
    event(n, {
      subject: 'planted-subject',
      properties: {
        region: 'planted-region',
        planted_name: 'planted-value',
        deep: { planted_name: ['planted-value'] },
        kept: n,
      },
    });

  test('what is dropped or hashed is in no line, no metric, not in the log and not in the archive', async () => {
    const metersFile = join(dataDir, 'meters.yaml');
    await writeFile(metersFile, METERS);
    const data = join(dataDir, 'data');
    const product = await start({ dataDir: data, metersFile, privacy });
    await product.ready();
    const headers = { host: 'localhost' };
    const send = (payload: object): Promise<{ json: () => { token: string } }> =>
      product.app.inject({ method: 'POST', url: '/v1/events', payload, headers });
    const { token } = (await send([secretive(1), secretive(1), secretive(2)])).json();
    await send([
      { ...secretive(3), quantity: 'planted-value' },
      { ...secretive(4), planted_name: 1 },
    ]);
    const ask = async (meter: string): Promise<{ rows: { value: string; group: object }[] }> =>
      (
        await product.app.inject({
          url: `/v1/meters/${meter}/query?from=${range.from}&to=${range.to}&group_by=${meter === 'of_eu' ? '' : 'region'}&after=${token}`.replace(
            '&group_by=&',
            '&',
          ),
          headers,
        })
      ).json();
    const grouped = await ask('by_region');
    expect(grouped.rows).toMatchObject([{ value: '2', group: { region: expect.stringMatching(/^h:[\w-]{43}$/) } }]);
    expect((await ask('of_eu')).rows).toMatchObject([{ value: '2' }]);
    const { rows } = await product.stores.pool.query<{ value: Buffer }>('SELECT value FROM log_records WHERE kind = 0');
    expect(rows).toHaveLength(3);
    const segments = async (): Promise<string[]> => {
      const keys: string[] = [];
      for await (const key of product.stores.archive.list('segments/')) keys.push(key);
      return keys;
    };
    for (const deadline = Date.now() + 30_000; (await segments()).length === 0 && Date.now() < deadline;)
      await new Promise((resolve) => setTimeout(resolve, 20));
    const [object] = await segments();
    const archived = decodeSegment(await product.stores.archive.get(object!));
    expect(archived.map((record) => JSON.parse(record.event?.properties ?? '') as unknown)[0]).toMatchObject({ kept: 1 });
    const metrics = (await product.app.inject({ url: '/metrics', headers })).payload;
    const report = await product.app.inject({ method: 'POST', url: '/v1/verify', headers });
    expect(report.json()).toMatchObject({ ok: true });
    await product.close();
    const everything = [
      metrics,
      lines.join(''),
      rows.map(({ value }) => value.toString('latin1')).join(''),
      await bytesOf(join(data, 'archive')),
    ];
    for (const planted of PLANTED) for (const text of everything) expect(text).not.toContain(planted);
    // Nor in the files of the database, write-ahead log and all. The region stands there by way of the meter's filter.
    const database = await bytesOf(join(data, 'pg'));
    for (const planted of PLANTED.slice(0, 3)) expect(database).not.toContain(planted);
    expect((await stat(join(data, 'privacy-secret'))).mode & 0o777).toBe(0o600);
    const secret = (await readFile(join(data, 'privacy-secret'), 'utf8')).trim();
    for (const text of [...everything, database]) expect(text).not.toContain(secret);
  });

  test('another secret is refused, and so is a meter that needs what is dropped', async () => {
    await (await start({ privacy })).close();
    await writeFile(join(dataDir, 'privacy-secret'), 'f'.repeat(64));
    await expect(start({ privacy })).rejects.toMatchObject({
      code: 'INSTALLATION_DIFFERS',
      detail: { field: 'privacySecret' },
    });
    await writeFile(join(dataDir, 'privacy-secret'), 'short');
    await expect(start({ privacy })).rejects.toMatchObject({ code: 'BAD_CONFIG' });
    const metersFile = join(dataDir, 'meters.yaml');
    await writeFile(metersFile, METERS);
    await expect(start({ metersFile, privacy: { calls: { default: 'drop' } } })).rejects.toThrow(
      'meter by_region needs region of calls, which privacy drops',
    );
    const databaseUrl = 'postgres://nobody@127.0.0.1:9/none';
    await expect(start({ databaseUrl, privacy })).rejects.toMatchObject({ detail: { field: 'privacySecret' } });
  });
});
