/** Meters, groups and spread change while the product runs on: what answers goes on, what is new is filled from the archive. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Product, startProduct } from '../../src/cli/product.ts';
import { systemClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config.ts';
import { openLog } from '../../src/observe/log.ts';
import { wipe } from '../support/wipe.ts';
import { untilWithin } from '../support/poll.ts';

const DEADLINE_MS = 30_000;

const until = untilWithin(DEADLINE_MS);

interface Answer {
  readonly version: number;
  readonly rows: readonly {
    readonly value: string;
    readonly count: number;
    readonly group: object;
    readonly other?: true;
  }[];
  readonly proof: { readonly state: string };
}
interface Listed {
  readonly rules: number;
  readonly meters: readonly { readonly key: string; readonly version: number; readonly state: string }[];
}

const FIRST = 'meters:\n  - { key: tokens, event_type: tokens, aggregation: sum }\n';
const SECOND = `
meters:
  - { key: tokens, event_type: tokens, aggregation: sum, filter: { model: large } }
  - { key: users, event_type: tokens, aggregation: unique_count, value: user }
  - { key: disk, event_type: disk, aggregation: time_weighted_sum, hold: 1h, group_by: [volume], unit: GB-hours }
`;

describe('versions of meters', () => {
  let dataDir: string;
  let product: Product;
  const hour = Math.floor(Date.now() / 3_600_000) - 3;
  const at = (seconds: number): string => new Date(hour * 3_600_000 + seconds * 1000).toISOString();

  const start = async (flags: Record<string, unknown> = {}): Promise<void> => {
    const config = parseConfig({ flags: { dataDir, port: 0, logLevel: 'silent', ...flags } });
    product = await startProduct(config, { clock: systemClock, random: () => 0.5, log: openLog({ level: 'silent' }) });
    await product.ready();
  };
  const restart = async (meters?: string, flags: Record<string, unknown> = {}): Promise<void> => {
    await product.close();
    const metersFile = join(dataDir, 'meters.yaml');
    if (meters !== undefined) await writeFile(metersFile, meters);
    await start({ ...(meters === undefined ? {} : { metersFile }), ...flags });
  };
  const ask = async <T>(path: string, init?: RequestInit): Promise<T> => {
    const response = await fetch(`${product.url}${path}`, init);
    const body = (await response.json()) as T;
    if (!response.ok) throw new Error(`${String(response.status)} ${JSON.stringify(body)}`);
    return body;
  };
  const send = async (events: readonly object[]): Promise<string> => {
    const headers = { 'content-type': 'application/json' };
    const sent = await ask<{ token: string; rejected: number }>('/v1/events', {
      method: 'POST',
      headers,
      body: JSON.stringify(events),
    });
    expect(sent.rejected).toBe(0);
    return sent.token;
  };
  const query = (meter: string, more = ''): Promise<Answer> =>
    ask(`/v1/meters/${meter}/query?from=${at(0)}&to=${at(3600 * 2)}${more}`);
  const verified = async (): Promise<unknown> => {
    const report = await ask<{ ok: boolean; differences: unknown; findings: unknown }>('/v1/verify', { method: 'POST' });
    return report.ok ? 'equal' : report;
  };
  let serial = 0;
  const tokens = (model: string, user: string, tenant = 'acme') => ({
    ...{ tenant_id: tenant, event_type: 'tokens', quantity: '10', idempotency_key: `k${String((serial += 1))}` },
    ...{ event_timestamp: at(serial % 3600), properties: { model, user } },
  });
  const reading = (seconds: number, volume: string, quantity: string) => ({
    ...{ tenant_id: 'acme', event_type: 'disk', quantity, idempotency_key: `d${String((serial += 1))}` },
    ...{ event_timestamp: at(seconds), properties: { volume } },
  });

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'meterfold-versions-'));
    await writeFile(join(dataDir, 'meters.yaml'), FIRST);
    await start({ metersFile: join(dataDir, 'meters.yaml') });
  });
  afterAll(async () => {
    await product.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  test('a changed meter answers as before until its new version is filled, then with all of the past', async () => {
    const events = Array.from({ length: 40 }, (_, n) => tokens(n % 4 === 0 ? 'large' : 'small', `u${String(n % 7)}`));
    const token = await send([...events, reading(0, 'a', '4'), reading(1800, 'b', '2'), reading(900, 'a', '8')]);
    expect((await query('tokens', `&after=${token}`)).rows[0]?.value).toBe('400');
    await restart(SECOND);
    const now = await query('tokens');
    expect([
      ['1', '400'],
      ['2', '100'],
    ]).toContainEqual([String(now.version), now.rows[0]?.value]);
    const more = await send([tokens('large', 'u1'), tokens('small', 'new')]);
    await until('filled', async () => (await ask<Listed>('/v1/meters')).meters.every(({ state }) => state === 'serving'));
    expect(await query('tokens', `&after=${more}`)).toMatchObject({ version: 2, rows: [{ value: '110', count: 11 }] });
    expect(await query('tokens', `&after=${more}&version=1`)).toMatchObject({
      version: 1,
      rows: [{ value: '420', count: 42 }],
    });
    expect(await query('users')).toMatchObject({ version: 1, rows: [{ value: '8', count: 42 }], proof: { state: 'exact' } });
  });

  test('a gauge counts the time that each reading holds, over its series', async () => {
    // a: 4 for 15 min, then 8 for an hour; b: 2 for an hour.
    const { rows } = await query('disk', '&group_by=volume');
    expect(rows.map(({ value, group }) => [value, group])).toEqual([
      ['9', { volume: 'a' }],
      ['2', { volume: 'b' }],
    ]);
    expect((await query('disk')).rows).toMatchObject([{ value: '11', count: 3 }]);
    const { rows: hours } = await query('disk', '&window=hour');
    expect(hours.map(({ value }) => value)).toEqual(['8', '3']);
  });

  test('all of it is what a recount finds, also after the live counters are lost', async () => {
    expect(await verified()).toBe('equal');
    wipe(product.stores.speed);
    await until('healed', async () => (await query('tokens')).proof.state === 'exact');
    expect(await verified()).toBe('equal');
  });

  test('a start without a file goes on with what was declared, and the version before the last is let go', async () => {
    await restart();
    const { rules, meters } = await ask<Listed>('/v1/meters');
    expect([rules, meters.map(({ key, version }) => `${key}@${String(version)}`).sort()]).toEqual([
      2,
      ['disk@1', 'tokens@1', 'tokens@2', 'users@1'],
    ]);
    await restart(`${SECOND}  - { key: calls, event_type: tokens, aggregation: count }\n`);
    const after = await ask<Listed>('/v1/meters');
    expect(after.meters.map(({ key, version }) => `${key}@${String(version)}`)).not.toContain('tokens@1');
    await expect(query('tokens', '&version=1')).rejects.toThrow('404');
    await until('filled', async () => (await ask<Listed>('/v1/meters')).meters.every(({ state }) => state === 'serving'));
    expect((await query('calls')).rows).toMatchObject([{ value: '42' }]);
    expect(await verified()).toBe('equal');
  });

  test('groups beyond the bound count as other, and nothing is lost', async () => {
    const grouped = `${SECOND}  - { key: by_user, event_type: tokens, aggregation: count, group_by: [user] }\n`;
    await restart(grouped, { maxGroups: 3 });
    const minute = at(120);
    const many = Array.from({ length: 20 }, (_, n) => ({
      ...tokens('small', `v${String(n)}`, 'wide'),
      event_timestamp: minute,
    }));
    const token = await send(many);
    await until('filled', async () => (await ask<Listed>('/v1/meters')).meters.every(({ state }) => state === 'serving'));
    const { rows } = await query('by_user', `&tenant=wide&group_by=user&after=${token}`);
    const other = rows.filter((row) => row.other === true);
    expect([rows.length - other.length, rows.reduce((sum, { count }) => sum + count, 0)]).toEqual([3, 20]);
    expect((await query('by_user', '&tenant=wide')).rows).toMatchObject([{ value: '20' }]);
    expect(await verified()).toBe('equal');
  });

  test('a spread that is not ahead of its time is refused, and one that is changes no answer', async () => {
    const spread = (from: number): string =>
      `${SECOND}spread:\n  acme: [{ from: "${new Date(from).toISOString()}", keys: 4 }]\n`;
    await product.close();
    const metersFile = join(dataDir, 'meters.yaml');
    await writeFile(metersFile, spread(Date.now() + 60_000));
    await expect(start({ metersFile })).rejects.toMatchObject({ code: 'BAD_METERS' });
    await writeFile(metersFile, spread(Date.now() + 3_600_000));
    await start({ metersFile });
    expect((await query('users', '&tenant=acme')).rows).toMatchObject([{ value: '8' }]);
    await product.close();
    await writeFile(metersFile, SECOND);
    await start({ metersFile });
    expect(product.stores.ruleSets.newest.spread.size).toBe(1);
  });
});
