/** What leaves the tables, and what is still known afterwards. */
import type { Pool } from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { expire, type ExpirySettings, hoursAhead } from '../../src/batch/expiry.ts';
import type { BatchView, Cut, HourUsage, Lineage, Tables } from '../../src/contract.ts';
import { CUT_END, END } from '../../src/contract.ts';
import { monthOf, startOfMonth } from '../../src/domain/kept.ts';
import { postgresBatchView } from '../../src/sinks/postgres/batch-view.ts';
import { listEvents, usageDaily } from '../../src/sinks/postgres/events.ts';
import { shapeIndexes } from '../../src/sinks/postgres/indexes.ts';
import { migrate } from '../../src/sinks/postgres/migrate.ts';
import { openPool } from '../../src/sinks/postgres/pool.ts';
import { postgresTables } from '../../src/sinks/postgres/tables.ts';
import { archived, hour, publishCells } from '../../src/conformance/batch-view.ts';
import { describeEachDatabase } from '../support/postgres-services.ts';
import { at } from '../support/scripted-source.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** 2026-06-15T12:00:00Z. */
const NOW = Date.UTC(2026, 5, 15, 12);
const FOR_EVER = { kept: { keyRetentionMs: 0, usageRetentionMonths: 0 }, epochMs: HOUR_MS, eventRowRetentionMs: 0 };
const never = new AbortController().signal;

const lineage = (id: string): Lineage => ({ id, parents: [], depth: 0, origin: at(0), owns: () => true });
const hourAt = (ms: number): number => Math.floor(ms / HOUR_MS);

describeEachDatabase('retention of tables', (database) => {
  let pool: Pool;
  let batch: BatchView;
  let tables: Tables;
  beforeEach(async () => {
    pool = openPool(await database.empty(), { max: database.kind === 'pglite' ? 1 : 10 });
    await migrate(pool);
    batch = postgresBatchView(pool);
    tables = postgresTables(pool, { embedded: database.kind === 'pglite' });
  });
  afterEach(() => pool.end());

  const run = (settings: Partial<ExpirySettings>, lineages = ['l0'], now = NOW) =>
    expire(
      { tables, batch, source: { lineages: async () => lineages.map(lineage) } },
      { ...FOR_EVER, ...settings },
      now,
      never,
    );
  const insert = (events: ReturnType<typeof archived>[], id = 'l0') =>
    batch.transaction((tx) => tx.insertEvents(id, events));
  const cutAt = (arrival: number, id = 'l0', segments = 1) =>
    batch.transaction((tx) =>
      tx.raiseCut(id, { segments, position: segments === CUT_END ? END : at(segments), arrival, rules: 1 }),
    );
  const keys = async (): Promise<string[]> => {
    const { rows } = await pool.query<{ k: string }>('SELECT idempotency_key AS k FROM metering_events ORDER BY 1');
    return rows.map(({ k }) => k);
  };
  const months = async (): Promise<string[]> => {
    const { rows } = await pool.query<{ m: string }>(
      `SELECT substr(relname, 14) AS m FROM pg_class WHERE relname ~ '^usage_hourly_[0-9_]*$' AND relkind = 'r' ORDER BY 1`,
    );
    return rows.map(({ m }) => m);
  };
  const old = (n: number, ageMs: number, over: Partial<ReturnType<typeof archived>['event']> = {}) =>
    archived(n, { timestamp: (NOW - ageMs) * 1000, subject: 'someone', ...over });

  test('event rows lose what they say beside their key, and a copy of an old event still counts once', async () => {
    await insert([old(1, 3 * DAY_MS), old(2, DAY_MS), old(3, 3 * DAY_MS, { subject: null, properties: '{}' })]);
    expect((await run({ eventRowRetentionMs: 2 * DAY_MS })).emptied).toBe(1);
    const { rows } = await listEvents(pool, { limit: 10 });
    const shown = rows.map(({ event }) => [event.key, event.subject, event.properties, event.quantity]);
    const [whole, quantity] = ['{"a":null,"b":[1,"x"]}', 10n ** 12n];
    expect(shown).toEqual([
      ['k2', 'someone', whole, quantity],
      ['k3', null, '{}', quantity],
      ['k1', null, '{}', quantity],
    ]);
    expect((await run({ eventRowRetentionMs: 2 * DAY_MS })).emptied).toBe(0);
    // The key row names its winner and content as before: a copy loses, and one with other content is told apart.
    expect(await insert([{ ...old(1, 3 * DAY_MS), position: at(9), content: 'bb'.repeat(16) }])).toEqual(new Set());
    const [holder] = await batch.holders([{ tenant: 'acme', key: 'k1' }]);
    expect(holder).toMatchObject({ position: at(1), content: 'aa'.repeat(16) });
  });

  test('rows are emptied in steps, and more than one step is done in a round', async () => {
    const timestamp = (NOW - 3 * DAY_MS) * 1000;
    await insert(Array.from({ length: 1234 }, (_, n) => archived(n, { timestamp })));
    await shapeIndexes(pool, { propertiesIndex: 'on', eventRowRetentionMs: 1 });
    expect((await run({ eventRowRetentionMs: DAY_MS })).emptied).toBe(1234);
    await shapeIndexes(pool, { propertiesIndex: 'off', eventRowRetentionMs: 0 });
  });

  test('keys go once no record to come can bear one so old: published, less an epoch, less the future bound', async () => {
    const kept = { keyRetentionMs: 30 * DAY_MS, usageRetentionMonths: 0 };
    const margin = HOUR_MS + 5 * 60_000;
    await insert([old(1, 30 * DAY_MS + margin + 1), old(2, 30 * DAY_MS + margin), old(3, DAY_MS)]);
    // l1 has published nothing: what it may still hold could be a copy of anything.
    await cutAt(NOW);
    expect((await run({ kept }, ['l0', 'l1'])).keys).toBe(0);
    await cutAt(NOW - 1, 'l1');
    expect((await run({ kept }, ['l0', 'l1'])).keys).toBe(0);
    await cutAt(NOW, 'l1', 2);
    expect((await run({ kept }, ['l0', 'l1'])).keys).toBe(1);
    expect(await keys()).toEqual(['k2', 'k3']);
    // A lineage that is closed and folded holds nothing any more, whenever its last record came.
    await cutAt(0, 'l2', CUT_END);
    await cutAt(NOW + 1, 'l0', 2);
    expect((await run({ kept }, ['l0', 'l2'])).keys).toBe(1);
    expect((await run({ kept }, ['l2'])).keys).toBe(0);
    expect(await keys()).toEqual(['k3']);
  });

  test('this month and the next two are made ahead', async () => {
    await batch.prepare(hoursAhead(Date.UTC(2026, 11, 31, 23, 59)));
    expect(await months()).toEqual(['2026_12', '2027_01', '2027_02']);
  });

  const usage = async (times: readonly number[], segment: number): Promise<void> => {
    const hours: HourUsage[] = times.map((ms) => hour(1n, 1, { hour: hourAt(ms) }));
    await batch.prepare(hours);
    await batch.transaction((tx) => publishCells(tx, segment, [], hours));
  };
  const cut = (arrival: number): Cut => ({ segments: 99, position: at(99), arrival, rules: 1 });

  test('months of hourly usage are dropped behind what is kept; days stay, and the next publish finds its month', async () => {
    await pool.query(`INSERT INTO installation (incarnation, buckets, partitions, epoch_ms, meters, tenants)
      VALUES (gen_random_uuid(), 1, 1, 1, '', '')`);
    await usage([Date.UTC(2026, 2, 31, 23), Date.UTC(2026, 3, 1), Date.UTC(2026, 4, 1), NOW], 0);
    const kept = { keyRetentionMs: 0, usageRetentionMonths: 2 };
    expect((await run({ kept })).months).toBe(0);
    await batch.transaction((tx) => tx.raiseCut('l0', cut(NOW)));
    expect((await run({ kept })).months).toBe(1);
    expect(await months()).toEqual(['2026_04', '2026_05', '2026_06']);
    expect((await usageDaily(pool)).map(({ day }) => day)).toEqual(['2026-03-31', '2026-04-01', '2026-05-01', '2026-06-15']);
    const { rows } = await pool.query<{ n: number; f: number }>(
      `SELECT (SELECT count(*)::int FROM hour_partials) AS n, usage_from AS f FROM installation`,
    );
    expect(rows).toEqual([{ n: 3, f: hourAt(Date.UTC(2026, 3, 1)) }]);
    expect((await run({ kept })).months).toBe(0);
    // The month is made again if it is asked for: nothing relies on a memory of it.
    await usage([Date.UTC(2026, 2, 31, 23)], 1);
    expect(await months()).toContain('2026_03');
  });

  test.runIf(database.kind === 'postgres')(
    'a detach that died half way is finished, and one that waits stops nobody',
    async () => {
      await usage([Date.UTC(2026, 3, 1), NOW], 0);
      const month = monthOf(Date.UTC(2026, 3, 1));
      const [reader, detacher] = [await pool.connect(), await pool.connect()];
      await reader.query('BEGIN; SELECT count(*) FROM usage_hourly');
      await detacher.query(`SET statement_timeout = '300ms'`);
      const table = 'usage_hourly_2026_04';
      const waiting = detacher.query(`ALTER TABLE usage_hourly DETACH PARTITION ${table} CONCURRENTLY`);
      // While it waits for the reader, others publish.
      await usage([NOW], 1);
      await expect(waiting).rejects.toThrow('timeout');
      await reader.query('COMMIT');
      reader.release();
      detacher.release(true);
      expect(await tables.oldestUsageMonth()).toBe(month);
      await tables.dropUsageMonth(month);
      expect(await tables.oldestUsageMonth()).toBe(monthOf(NOW));
    },
  );

  test('a month that was detached and not dropped is dropped', async () => {
    await usage([startOfMonth(600)], 0);
    await pool.query('ALTER TABLE usage_hourly DETACH PARTITION usage_hourly_2020_01');
    await tables.dropUsageMonth(600);
    await tables.dropUsageMonth(600);
    expect(await months()).toEqual([]);
  });
});
