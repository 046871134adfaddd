/** Schemas of event types while the product runs on: old and new writers, both exact, and every verdict for ever. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Product, startProduct } from '../../src/cli/product.ts';
import { systemClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config.ts';
import { decodeEvent } from '../../src/domain/avro.ts';
import type { UsageEvent } from '../../src/domain/event.ts';
import { FOR_EVER } from '../../src/domain/kept.ts';
import { parseMetersFile } from '../../src/domain/meters-file.ts';
import type { RuleSet } from '../../src/domain/rules.ts';
import { openLog } from '../../src/observe/log.ts';
import { Ingest, type Receipt } from '../../src/serving/ingest.ts';
import { declareRules } from '../../src/sinks/postgres/rule-sets.ts';
import { silentFacts } from '../support/silent-facts.ts';
import { untilWithin } from '../support/poll.ts';

const DEADLINE_MS = 30_000;

const until = untilWithin(DEADLINE_MS);

const METERS = 'meters:\n  - { key: calls, event_type: calls, aggregation: sum, group_by: [region] }\n';
const fileOf = (regions: string, more = ''): string => `${METERS}schemas:
  calls:
    properties:
      type: object
      required: [region]
      properties: { region: { enum: [${regions}] }, ms: { type: integer, minimum: 0 } }
${more}`;

interface Reject {
  readonly code: string;
  readonly field: string;
  readonly reason: string;
}

describe('schemas of event types', () => {
  let dataDir: string;
  let product: Product;
  const hour = Math.floor(Date.now() / 3_600_000) - 3;
  const at = (seconds: number): string => new Date(hour * 3_600_000 + seconds * 1000).toISOString();

  const start = async (file: string): Promise<void> => {
    const metersFile = join(dataDir, 'meters.yaml');
    await writeFile(metersFile, file);
    const config = parseConfig({ flags: { dataDir, port: 0, logLevel: 'silent', metersFile } });
    product = await startProduct(config, { clock: systemClock, random: () => 0.5, log: openLog({ level: 'silent' }) });
    await product.ready();
  };
  const restart = async (file: string): Promise<void> => {
    await product.close();
    await start(file);
  };
  const ask = async <T>(path: string, init?: RequestInit): Promise<T> =>
    (await (await fetch(`${product.url}${path}`, init)).json()) as T;
  const post = <T = Receipt & { readonly token: string }>(events: unknown): Promise<T> =>
    ask('/v1/events', {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(events) },
    });

  let serial = 0;
  const call = (properties: object, key = `k${String((serial += 1))}`) => ({
    ...{ tenant_id: 'acme', event_type: 'calls', quantity: '1', idempotency_key: key },
    ...{ event_timestamp: at(serial % 3600), properties },
  });
  const calls = (count: number, region: string) => Array.from({ length: count }, () => call({ region }));

  /** An edge of another process, which knows these rules and never hears of others. */
  const staleEdge = (known: RuleSet): Ingest =>
    new Ingest({
      ...{ producer: product.stores.log, clock: systemClock, facts: silentFacts() },
      ruleSets: { newest: known, refresh: () => Promise.resolve() },
      config: { pastBoundMs: 86_400_000, maxEventsPerRequest: 1000, ...FOR_EVER },
    });
  const sendBy = (edge: Ingest, events: readonly object[]): Promise<Receipt> =>
    edge.take(Buffer.from(JSON.stringify(events)), 'native', { isHistory: false });

  const rejects = async (): Promise<readonly Reject[]> => {
    const { rejects: found } = await ask<{ rejects: readonly Reject[] }>('/v1/rejects?limit=1000');
    return found;
  };
  const untilRejected = (count: number): Promise<boolean> =>
    until(`${String(count)} rejects`, async () => (await rejects()).length >= count);
  /** By region, of everything that was sent so far. */
  const counted = async (): Promise<Record<string, number>> => {
    const token = (await post<{ token: string }>([])).token;
    const path = `/v1/meters/calls/query?from=${at(0)}&to=${at(7200)}&group_by=region`;
    const last = (await post([{ ...call({}), event_type: 'mark' }])).token;
    expect(token).not.toBe(last);
    const { rows } = await ask<{ rows: readonly { count: number; group: { region: string | null } }[] }>(
      `${path}&after=${last}`,
    );
    return Object.fromEntries(rows.map(({ count, group }) => [group.region ?? 'none', count]));
  };
  /** Of the raw log, with the rules that were announced before each in its lineage. */
  const events = async (): Promise<readonly { readonly rules: number; readonly event: UsageEvent }[]> => {
    const { log } = product.stores;
    const found: { rules: number; event: UsageEvent }[] = [];
    for (const { id } of await log.lineages()) {
      const { first, end } = await log.bounds(id);
      await using reader = log.open(id, first);
      let rules = 1;
      for (let next = first; next < end;) {
        const batch = await reader.next(new AbortController().signal);
        for (const { control, value } of batch?.records ?? []) {
          if (control?.type === 'rules') rules = Math.max(rules, control.rules);
          if (control === undefined) found.push({ rules, event: decodeEvent(value) as UsageEvent });
        }
        next = batch?.next ?? end;
      }
    }
    return found;
  };
  /** As the start of another process declares it, before it announces. */
  const declared = (file: string): Promise<void> =>
    declareRules(product.stores.pool, parseMetersFile(file), systemClock.now());
  const verified = async (): Promise<unknown> => {
    const report = await ask<{ ok: boolean }>('/v1/verify', { method: 'POST' });
    return report.ok ? 'equal' : report;
  };

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'meterfold-schemas-'));
    await start(METERS);
  });
  afterAll(async () => {
    await product.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  test('an event type without a schema takes everything', async () => {
    expect(await ask('/v1/schemas')).toEqual({ rules: 1, schemas: [] });
    expect(await post([call({ region: 'mars' }), call({})])).toMatchObject({ accepted: 2 });
  });

  test('the first schema is told of, and the edge refuses by it at once, with nothing written', async () => {
    await restart(fileOf('eu, us'));
    const schema = {
      required: ['region'],
      properties: { region: { enum: ['eu', 'us'] }, ms: { type: 'integer', minimum: 0 } },
    };
    expect(await ask('/v1/schemas')).toEqual({
      ...{ rules: 2, schemas: [{ event_type: 'calls', version: 1, properties: { type: 'object', ...schema } }] },
    });
    const wrong = [call({}), call({ region: 'mars' }), call({ region: 'eu', ms: 1.5 })];
    expect(await post(wrong[1])).toMatchObject({
      ...{ status: 422, code: 'SCHEMA_VIOLATION', field: 'properties.region', value: 'mars' },
      detail: 'enum: ["eu","us"] (version 1 of the schema of calls)',
    });
    const before = (await events()).length;
    const { accepted, rejected, results } = await post(wrong);
    expect([accepted, rejected]).toEqual([0, 3]);
    expect(results).toMatchObject([
      { index: 0, code: 'SCHEMA_VIOLATION', field: 'properties.region', value: '' },
      { index: 1, code: 'SCHEMA_VIOLATION', field: 'properties.region', value: 'mars' },
      { index: 2, code: 'SCHEMA_VIOLATION', field: 'properties.ms', value: '1.5' },
    ]);
    expect(await events()).toHaveLength(before);
    expect(await rejects()).toEqual([]);
    expect(await post([call({ region: 'eu', ms: 3, more: [1] }), ...calls(2, 'us')])).toMatchObject({ accepted: 3 });
  });

  test('what an edge lets through that has not heard of it, the worker rejects; it registers no key', async () => {
    const stale = staleEdge(product.stores.ruleSets.get(1));
    const wrong = [...calls(7, 'mars'), call({})];
    expect(await sendBy(stale, [...calls(5, 'eu'), ...wrong, ...calls(4, 'us')])).toMatchObject({ accepted: 17 });
    await untilRejected(8);
    const found = await rejects();
    expect(found).toHaveLength(8);
    expect(new Set(found.map(({ code, field }) => `${code} ${field}`))).toEqual(
      new Set(['SCHEMA_VIOLATION properties.region']),
    );
    expect(found.filter(({ reason }) => reason.startsWith('required')).length).toBe(1);
    // The two of before there was a schema count for ever.
    expect(await counted()).toEqual({ mars: 1, none: 1, eu: 6, us: 6 });
    expect(await post(wrong.map((event) => ({ ...event, properties: { region: 'eu' } })))).toMatchObject({ accepted: 8 });
    expect(await counted()).toEqual({ mars: 1, none: 1, eu: 14, us: 6 });
    expect(await verified()).toBe('equal');
  });

  test('a change that takes less is refused at the start, and leaves what is recorded', async () => {
    await expect(declared(`${METERS}schemas: {}`)).rejects.toMatchObject({
      ...{ code: 'BAD_METERS', detail: { field: 'schemas.calls', value: 'missing' } },
    });
    await product.close();
    await expect(start(fileOf('eu'))).rejects.toMatchObject({
      code: 'BAD_METERS',
      message: expect.stringContaining(
        'calls would take less than version 1 of its schema: properties.region: "us" was taken',
      ),
      detail: { allowed: expect.stringContaining('an event type of its own, such as calls_v2') },
    });
    // A file that says nothing of schemas leaves them.
    await start(METERS);
    expect(await ask('/v1/schemas')).toMatchObject({ rules: 2, schemas: [{ version: 1 }] });
    expect(await post(call({ region: 'mars' }))).toMatchObject({ code: 'SCHEMA_VIOLATION' });
  });

  test('old and new writers go on while the version changes, and every event counts by the rules where it lies', async () => {
    const { stores } = product;
    const [open, first] = [stores.ruleSets.get(1), stores.ruleSets.newest];
    const before = (await rejects()).length;
    const wider = fileOf('eu, us, ap', '  disk: { properties: { required: [volume] } }\n');
    // Old writers check by version 1, foreign ones not at all; the edge of this process hears of version 2 by and by.
    const [old, foreign] = [staleEdge(first), staleEdge(open)];
    let isOver = false;
    const sent = { eu: 0, foreign: 0 };
    const writing = (edge: Ingest, region: string, name: keyof typeof sent) => async () => {
      while (!isOver) sent[name] += (await sendBy(edge, calls(5, region))).accepted;
    };
    const writers = [writing(old, 'eu', 'eu')(), writing(foreign, 'ap', 'foreign')()];
    await until('writers', () => Promise.resolve(sent.eu > 20 && sent.foreign > 20));
    expect(await sendBy(old, calls(1, 'ap'))).toMatchObject({ rejected: 1 });
    // As another process does: recorded, and not announced yet.
    await declared(wider);
    // A new writer is taken once the edge has looked, which announces before it appends.
    const fresh = calls(9, 'ap');
    await until('the edge looks', async () => (await post(fresh)).accepted === 9);
    await stores.log.control({ type: 'rules', rules: 3 });
    const soFar = sent.foreign;
    await until('more', () => Promise.resolve(sent.foreign > soFar + 20));
    isOver = true;
    await Promise.all(writers);
    const ap = (await events()).filter(({ event }) => event.properties === '{"region":"ap"}');
    const taken = ap.filter(({ rules }) => rules >= 3).length;
    const refused = ap.length - taken;
    expect(taken + refused).toBe(sent.foreign + 9);
    expect(Math.min(taken - 9, refused)).toBeGreaterThan(0);
    await untilRejected(before + refused);
    expect(await rejects()).toHaveLength(before + refused);
    expect(await counted()).toEqual({ mars: 1, none: 1, eu: 14 + sent.eu, us: 6, ap: taken });
    expect(await verified()).toBe('equal');
    expect(await ask('/v1/schemas')).toMatchObject({
      ...{
        rules: 3,
        schemas: [
          { event_type: 'calls', version: 2 },
          { event_type: 'disk', version: 1 },
        ],
      },
    });
    // Read again from the log and the archive, every verdict is as it was.
    const counts = await counted();
    await restart(wider);
    expect(await counted()).toEqual(counts);
    expect(await verified()).toBe('equal');
    expect(await rejects()).toHaveLength(before + refused);
    expect(await ask('/v1/schemas')).toMatchObject({ rules: 3 });
  });

  test('a schema is dropped by taking everything, for good', async () => {
    await restart(`${METERS}schemas: { calls: { properties: true }, disk: { properties: {} } }`);
    expect(await ask('/v1/schemas')).toMatchObject({
      rules: 4,
      schemas: [{ version: 3, properties: true }, { version: 2 }],
    });
    expect(await post([call({ region: 'mars' }), call({ region: 5 })])).toMatchObject({ accepted: 2 });
    const back = fileOf('eu, us, ap', '  disk: { properties: true }\n');
    await expect(declared(back)).rejects.toMatchObject({ code: 'BAD_METERS' });
    expect(await verified()).toBe('equal');
  });
});
