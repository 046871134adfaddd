/** The whole product in this process: faults planted in each store, a lost speed store, bad starts. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Product, startProduct } from '../../src/cli/product.ts';
import type { Stores } from '../../src/cli/stores.ts';
import { systemClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config.ts';
import { openLog } from '../../src/observe/log.ts';
import { wipe } from '../support/wipe.ts';
import { untilWithin } from '../support/poll.ts';

const DEADLINE_MS = 30_000;

const until = untilWithin(DEADLINE_MS);

let logReads = 0;
let speedReads = 0;
let isSpeedSilent = false;

/** Counts who asks the live counters, which do not answer while they are silent. */
function listening({ speed }: Stores): void {
  const read = speed.read.bind(speed);
  speed.read = (...asked) => {
    speedReads += 1;
    return isSpeedSilent ? new Promise(() => undefined) : read(...asked);
  };
}

/** Counts what reads the log. */
const counting = (stores: Stores): Stores => ({
  ...stores,
  log: {
    ...stores.log,
    open: (lineage, from) => {
      logReads += 1;
      return stores.log.open(lineage, from);
    },
    bounds: (lineage) => {
      logReads += 1;
      return stores.log.bounds(lineage);
    },
  },
});

const start = (dataDir: string, flags: Record<string, unknown> = {}): Promise<Product> =>
  startProduct(parseConfig({ flags: { dataDir, port: 0, logLevel: 'silent', ...flags } }), {
    clock: systemClock,
    random: () => 0.5,
    log: openLog({ level: 'silent' }),
    lend: (stores) => {
      listening(stores);
      return counting(stores);
    },
  });

const METERS = `
meters:
  - { key: calls, event_type: calls, aggregation: sum }
  - { key: by_region, event_type: calls, aggregation: count, group_by: [region] }
  - { key: longest, event_type: calls, aggregation: max, value: ms, unit: ms }
  - { key: shortest, event_type: calls, aggregation: min, value: ms, filter: { region: eu } }
  - { key: mean, event_type: calls, aggregation: average, value: ms }
  - { key: last, event_type: calls, aggregation: latest, value: ms }
`;

interface Answer {
  readonly rows: readonly {
    readonly value: string;
    readonly count: number;
    readonly group: Readonly<Record<string, string>>;
  }[];
  readonly proof: { readonly state: string; readonly reason?: string };
}
interface Report {
  readonly ok: boolean;
  readonly archived: number;
  readonly merged: number;
  readonly findings: readonly { readonly object: string; readonly what: string }[];
  readonly differences: readonly { readonly kind: string }[];
}

describe('the product', () => {
  let dataDir: string;
  let product: Product;
  const now = Date.now() - 60_000;
  const event = (n: number) => ({
    tenant_id: `t${String(n % 3)}`,
    event_type: 'calls',
    quantity: '2',
    idempotency_key: `k${String(n)}`,
    event_timestamp: new Date(now + n).toISOString(),
    properties: { region: n % 2 === 0 ? 'eu' : 'us', ms: n },
  });

  const ask = async <T>(path: string, init?: RequestInit): Promise<T> => {
    const response = await fetch(`${product.url}${path}`, init);
    const body = (await response.json()) as T;
    if (!response.ok) throw new Error(JSON.stringify(body));
    return body;
  };
  const send = (events: readonly object[]): Promise<{ token: string }> =>
    ask('/v1/events', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(events) });
  const query = (meter: string, more = ''): Promise<Answer> => {
    const day = (n: number): string => new Date((Math.floor(now / 86_400_000) + n) * 86_400_000).toISOString();
    return ask(`/v1/meters/${meter}/query?from=${day(-1)}&to=${day(2)}${more}`);
  };
  const verify = (): Promise<Report> => ask('/v1/verify', { method: 'POST' });
  const published = (): Promise<boolean> => until('published', async () => (await verify()).archived === 300);

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'meterfold-product-'));
    await writeFile(join(dataDir, 'meters.yaml'), METERS);
    product = await start(dataDir, { metersFile: join(dataDir, 'meters.yaml') });
    await product.ready();
    const { token } = await send(Array.from({ length: 300 }, (_, n) => event(n)));
    await query('calls', `&after=${token}`);
  });
  afterAll(async () => {
    await product.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  test('answers every aggregation the same before and after its events are published', async () => {
    const answers = async () => {
      const one = async (meter: string) => (await query(meter)).rows.map((row) => [row.value, row.count]);
      return Promise.all(['calls', 'longest', 'shortest', 'mean', 'last'].map(one));
    };
    const expected = [[['600', 300]], [['299', 300]], [['0', 150]], [['149.5', 300]], [['299', 300]]];
    expect(await answers()).toEqual(expected);
    await published();
    expect(await answers()).toEqual(expected);
    const groups = (await query('by_region', '&group_by=region')).rows.map((row) => [row.group.region, row.value]);
    expect(groups).toEqual([
      ['eu', '150'],
      ['us', '150'],
    ]);
    expect((await query('by_region', '&filter[region]=us&tenant=t1')).rows.map((row) => row.value)).toEqual(['50']);
  });

  test('answers read your own writes', async () => {
    const { token } = await send([event(0)]);
    expect((await query('calls', `&tenant=t0&after=${token}`)).proof.state).toBe('exact');
  });

  test('a query reads no log', async () => {
    const before = logReads;
    for (let n = 0; n < 5; n += 1) await query('calls');
    expect(logReads).toBe(before);
  });

  test('an emptied live speed store makes answers provisional, exact as of the cut, until it is healed', async () => {
    const { speed } = product.stores;
    wipe(speed);
    const { rows, proof } = await query('calls');
    expect(proof).toMatchObject({ state: 'provisional', reason: 'speed_healing' });
    expect(rows.map((row) => row.value)).toEqual(['600']);
    await until('healed', async () => (await query('calls')).proof.state === 'exact');
    expect((await verify()).ok).toBe(true);
  });

  test('live counters that do not answer cost one query its deadline; all are exact as of the cut meanwhile', async () => {
    isSpeedSilent = true;
    const before = speedReads;
    const answers: Answer[] = [];
    for (const until = performance.now() + 200; answers.length < 20 || performance.now() < until;)
      answers.push(await query('calls'));
    expect(speedReads - before).toBeLessThan(answers.length / 2);
    for (const { rows, proof } of answers) {
      expect(proof).toMatchObject({ state: 'provisional', reason: 'speed_unreachable' });
      expect(rows.map((row) => row.value)).toEqual(['600']);
    }
    isSpeedSilent = false;
    await until('the live counters are heard again', async () => (await query('calls')).proof.state === 'exact');
  });

  test('verify finds a fault in the batch view', async () => {
    const { pool } = product.stores;
    await pool.query(`UPDATE usage_hourly SET total_quantity = total_quantity + 1 WHERE tenant_id = 't1'`);
    const report = await verify();
    expect(report.ok).toBe(false);
    expect(report.differences.map(({ kind }) => kind)).toContain('batch');
    await pool.query(`UPDATE usage_hourly SET total_quantity = total_quantity - 1 WHERE tenant_id = 't1'`);
    await pool.query(`UPDATE rollups SET sum = sum + 0.000000000001 WHERE tenant_id = 't1' AND meter = 'calls@1'`);
    expect((await verify()).differences.map(({ kind }) => kind)).toContain('merged');
    await pool.query(`UPDATE rollups SET sum = sum - 0.000000000001 WHERE tenant_id = 't1' AND meter = 'calls@1'`);
    expect((await verify()).ok).toBe(true);
  });

  test('verify finds a fault in the live speed store', async () => {
    const { speed, catalog, log } = product.stores;
    const [lineage] = await log.lineages();
    const head = await catalog.head(lineage!);
    const view = await speed.look(0, lineage!.id);
    const to = log.after(log.after(log.after(view.fence!)));
    // An event that nobody sent, a little ahead of the log.
    const planted = {
      ...{
        position: log.after(view.fence!),
        digest: 'a planted digest',
        epoch: view.oldest! + 5,
        segment: head!.segment + 5,
      },
      contributions: [
        {
          tenant: 't1',
          meter: 'calls@1',
          minute: Math.floor(now / 60_000),
          group: '[]',
          aggregation: 'sum' as const,
          value: 1n,
          order: '',
        },
      ],
    };
    const request = {
      bucket: 0,
      lineage: lineage!.id,
      incarnation: view.incarnation!,
      prev: view.fence!,
      to,
      arrival: now,
      rules: 1,
      oldest: view.oldest!,
    };
    expect(await speed.apply({ ...request, records: [planted] })).toMatchObject({ ok: true });
    expect(await verify()).toMatchObject({ ok: false });
    wipe(speed);
    await until('healed', async () => (await query('calls')).proof.state === 'exact');
    expect((await verify()).ok).toBe(true);
  });

  test('verify finds a damaged and a missing object of the archive, by name', async () => {
    const segments = join(dataDir, 'archive', 'segments');
    const [lineage] = await readdir(segments);
    const [name] = await readdir(join(segments, lineage!));
    const path = join(segments, lineage!, name!);
    const bytes = await readFile(path);
    const damaged = Buffer.from(bytes);
    damaged[damaged.length - 20]! ^= 1;
    await writeFile(path, damaged);
    const report = await verify();
    expect(report.ok).toBe(false);
    expect(report.findings).toMatchObject([
      { object: expect.stringContaining(name!), what: expect.stringContaining('sha-256') },
    ]);
    await rm(path);
    expect((await verify()).findings).toMatchObject([{ what: expect.stringContaining('no such file') }]);
    await writeFile(path, bytes);
    expect((await verify()).ok).toBe(true);
  });

  test('rejects what the worker cannot use, with its code, and keeps it whole', async () => {
    const { pool, log } = product.stores;
    const [lineage] = await log.lineages();
    // A foreign writer, past the edge.
    await pool.query(
      `WITH place AS (UPDATE log_partitions SET next_position = next_position + 1, last_arrival = greatest(last_arrival, $2) WHERE lineage = $1
         RETURNING next_position - 1 AS position, last_arrival)
       INSERT INTO log_records (lineage, position, arrival, kind, key, value) SELECT $1, position, last_arrival, 0, 'x', 'not an event' FROM place`,
      [lineage!.id, Date.now()],
    );
    interface Rejects {
      readonly rejects: readonly { readonly code: string; readonly value_base64?: string }[];
    }
    await until('rejected', async () => (await ask<Rejects>('/v1/rejects')).rejects.length > 0);
    const [reject] = (await ask<Rejects>('/v1/rejects')).rejects;
    expect(reject).toMatchObject({ code: 'UNDECODABLE' });
    expect(Buffer.from(reject?.value_base64 ?? '', 'base64').toString()).toBe('not an event');
  });

  test('a second process is refused, and so are other partitions and buckets', async () => {
    await expect(start(dataDir)).rejects.toMatchObject({ code: 'DATA_DIR_LOCKED' });
    await product.close();
    const same = join(dataDir, 'meters.yaml');
    await expect(start(dataDir, { metersFile: same, buckets: 8 })).rejects.toMatchObject({
      message: expect.stringContaining('buckets was 16, is 8'),
    });
    await expect(start(dataDir, { metersFile: same, keyRetentionMs: 86_400_000 })).rejects.toMatchObject({
      message: expect.stringContaining('keyRetentionMs was 0, is 86400000'),
    });
    await expect(start(dataDir, { metersFile: same, host: '0.0.0.0' })).rejects.toMatchObject({ code: 'BAD_CONFIG' });
    product = await start(dataDir, { metersFile: same });
    await product.ready();
    expect((await verify()).ok).toBe(true);
  });
});
