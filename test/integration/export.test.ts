/** What goes out comes back: exports of the embedded product, by URL and from its directory, imported into fresh ones. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Product, startProduct } from '../../src/cli/product.ts';
import { program } from '../../src/cli/program.ts';
import { systemClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config.ts';
import { openLog } from '../../src/observe/log.ts';

const DEADLINE_MS = 30_000;
/** More than a page. */
const EVENTS = 1200;
const BATCH = 400;
const BACK = `
time: { column: event_timestamp }
tenant: { column: tenant_id }
idempotency_key: "{idempotency_key}"
events: [{ event_type: { column: event_type }, quantity: { column: quantity } }]
subject: { column: subject }
properties: { column: properties }
guarded: true
`;
const HEADER = 'tenant_id,event_type,hour,total_quantity,event_count';

let dir: string;
let dataDir: string;
let product: Product | undefined;
let usage: string;

/** The command line in this process; answers the exit code and what it printed. */
async function meterfold(...argv: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const printed = { out: '', err: '' };
  const streams = {
    out: (text: string) => void (printed.out += `${text}\n`),
    err: (text: string) => void (printed.err += `${text}\n`),
    bytes: async (text: string) => void (printed.out += text),
    isTerminal: false,
  };
  const context = { env: { METERFOLD_LOG_LEVEL: 'silent' }, streams, stop: new AbortController().signal, random: () => 0.5 };
  return { code: await program(context, argv), ...printed };
}

const event = (n: number) => ({
  tenant_id: n % 5 === 0 ? '=2+3' : `t${String(n % 5)}`,
  event_type: n % 2 === 0 ? 'calls' : 'tokens',
  quantity: `${String(n)}.000000000001`,
  idempotency_key: `${n % 7 === 0 ? "'" : '-'}${String(n)}`,
  event_timestamp: new Date(Date.UTC(2025, 0, 1) + n * 60_000).toISOString(),
  ...(n % 3 === 0 ? { subject: 'sub "ject", 1\n' } : {}),
  properties: { n, text: 'é\n"', deep: { a: ['=1'] } },
});

async function start(): Promise<Product> {
  const config = parseConfig({ flags: { dataDir, port: 0, logLevel: 'silent' } });
  const started = await startProduct(config, { clock: systemClock, random: () => 0.5, log: openLog({ level: 'silent' }) });
  await started.ready();
  return started;
}

async function stop(): Promise<void> {
  await product?.close();
  product = undefined;
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'meterfold-export-'));
  dataDir = join(dir, 'source');
  await writeFile(join(dir, 'back.yaml'), BACK);
  product = await start();
  for (let at = 0; at < EVENTS; at += BATCH) {
    const body = JSON.stringify(Array.from({ length: BATCH }, (_, n) => event(at + n)));
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${product.url}/v1/events?history=1`, { method: 'POST', headers, body });
    expect(await answer.json()).toMatchObject({ accepted: BATCH });
  }
  for (const deadline = Date.now() + DEADLINE_MS; ;) {
    const { tenants } = (await (await fetch(`${product.url}/v1/tenants`)).json()) as { tenants: { events: number }[] };
    if (tenants.reduce((sum, { events }) => sum + events, 0) === EVENTS) break;
    if (Date.now() > deadline) throw new Error('not published in time');
    await new Promise((resolve) => setImmediate(resolve));
  }
});
afterAll(async () => {
  await stop();
  await rm(dir, { recursive: true, force: true });
});

describe('from a server', () => {
  test('events go into a file of every format, and usage to the standard output', async () => {
    const url = product!.url;
    for (const format of ['csv', 'ndjson', 'parquet']) {
      const { code, out } = await meterfold('export', 'events', '--out', join(dir, `by-url.${format}`), '--url', url);
      expect({ code, out }).toMatchObject({ code: 0, out: expect.stringContaining(`${String(EVENTS)} events exported`) });
    }
    const printed = await meterfold('export', 'usage', '--out', '-', '--format', 'csv', '--url', url);
    usage = printed.out;
    expect(printed.err).toContain('hours of usage exported');
    const [header, ...lines] = usage.trim().split('\n');
    expect(header).toBe(HEADER);
    expect(lines.length).toBeGreaterThan(100);
    expect(lines[0]).toBe("'=2+3,calls,2025-01-01T00:00:00Z,150.000000000006,6");
  });

  test('filters take what they name: the range has its start and not its end', async () => {
    const url = product!.url;
    const filter = ['--tenant', 't1', '--event-type', 'tokens', '--from', '2025-01-01T01:00Z', '--to', '2025-01-01T02:00Z'];
    const { out } = await meterfold('export', 'events', '--out', '-', '--format', 'ndjson', '--url', url, ...filter);
    const found = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { properties: { n: number }; quantity: string });
    expect(found.map(({ properties }) => properties.n)).toEqual([111, 101, 91, 81, 71, 61]);
    expect(found[0]?.quantity).toBe('111.000000000001');
    const hours = await meterfold('export', 'usage', '--out', '-', '--format', 'csv', '--url', url, ...filter);
    expect(hours.out).toBe(`${HEADER}\nt1,tokens,2025-01-01T01:00:00Z,516.000000000006,6\n`);
  });

  test('what is asked in a wrong way is refused by name, and leaves nothing', async () => {
    const url = product!.url;
    const attempt = (...argv: readonly string[]) => meterfold('export', ...argv, '--url', url);
    const out = join(dir, 'refused.csv');
    const code = 'BAD_REQUEST';
    await expect(attempt('usage', '--out', out, '--from', '2025-01-01T00:30Z')).rejects.toMatchObject({
      code,
      detail: { field: 'from' },
    });
    await expect(attempt('events', '--out', out, '--to', 'later')).rejects.toMatchObject({ code, detail: { field: 'to' } });
    expect((await attempt('meters', '--out', out)).code).toBe(2);
    expect((await attempt('events')).code).toBe(2);
    await expect(attempt('events', '--out', 'x.xls')).rejects.toMatchObject({ code, detail: { field: 'format' } });
    await expect(attempt('events', '--out', '-', '--format', 'parquet')).rejects.toMatchObject({
      code,
      detail: { field: 'out' },
    });
    await expect(attempt('events', '--out', join(out, 'in', 'x.csv'))).rejects.toMatchObject({ code: 'BAD_OUTPUT' });
    expect((await readdir(dir)).filter((name) => name.startsWith('refused'))).toEqual([]);
  });

  test('the list of hourly usage comes in pages, and refuses a cursor of another list', async () => {
    const page = async (query: string) => (await fetch(`${product!.url}/v1/usage-hourly?${query}`)).json();
    const first = (await page('limit=2')) as { usage: object[]; next: string };
    expect(first.usage).toHaveLength(2);
    expect(await page(`limit=1&cursor=${first.next}`)).not.toMatchObject({ usage: [first.usage[1]] });
    const { next } = (await (await fetch(`${product!.url}/v1/events?limit=1`)).json()) as { next: string };
    expect(await page(`cursor=${next}`)).toMatchObject({ status: 400, field: 'cursor' });
  });
});

describe('from the directory', () => {
  beforeAll(stop);

  test('the same bytes come as from a server', async () => {
    const out = join(dir, 'by-dir.ndjson');
    await meterfold('export', 'events', '--out', out, '--data-dir', dataDir);
    expect(await readFile(out, 'utf8')).toBe(await readFile(join(dir, 'by-url.ndjson'), 'utf8'));
  });

  test.each(['csv', 'ndjson', 'parquet'])(
    '%s goes back into a fresh directory: same events, same usage, verified',
    async (format) => {
      const fresh = ['--data-dir', join(dir, `fresh-${format}`)];
      const source = join(dir, `by-url.${format}`);
      const imported = await meterfold('import', source, '--mapping', join(dir, 'back.yaml'), '--json', ...fresh);
      expect(JSON.parse(imported.out)).toMatchObject({ rows: EVENTS, events: EVENTS, rejected: 0 });
      expect((await meterfold('verify', ...fresh)).code).toBe(0);
      expect((await meterfold('export', 'usage', '--out', '-', '--format', 'csv', ...fresh)).out).toBe(usage);
      const again = join(dir, `again-${format}.ndjson`);
      await meterfold('export', 'events', '--out', again, ...fresh);
      expect(await withoutPlaces(again)).toEqual(await withoutPlaces(join(dir, 'by-url.ndjson')));
      expect((await readdir(dir)).filter((name) => name.includes('checkpoint') || name.includes('tmp'))).toEqual([]);
    },
  );
});

/** Events without what their own log says of them. */
async function withoutPlaces(path: string): Promise<unknown[]> {
  const lines = (await readFile(path, 'utf8')).trim().split('\n');
  return lines.map((line) => ({ ...(JSON.parse(line) as object), lineage: '', position: '', arrival: '' }));
}
