import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { poolOptionsOf } from '../../src/cli/open-ports.ts';
import { parseConfig } from '../../src/config.ts';
import { systemClock } from '../../src/clock.ts';
import { migrate } from '../../src/sinks/postgres/migrate.ts';
import { prepareMonths } from '../../src/sinks/postgres/months.ts';
import { postgresRebuilds } from '../../src/sinks/postgres/rebuilds.ts';
import { inTransaction, openPool, run } from '../../src/sinks/postgres/pool.ts';
import type { Connection } from '../support/postgres-server.ts';
import { describeEachDatabase } from '../support/postgres-services.ts';

describeEachDatabase('migrations and the pool', (database) => {
  let connection: Connection;
  let pool: pg.Pool;
  beforeAll(async () => {
    connection = await database.empty();
    pool = openPool(connection, { max: 4 });
  });
  afterAll(() => pool.end());

  const names = async (): Promise<string[]> =>
    (await run<{ name: string }>(pool, 'read', 'SELECT name FROM layout ORDER BY name')).map(({ name }) => name);

  test('the first start makes every table, a second one changes nothing', async () => {
    await migrate(pool);
    const first = await names();
    expect(first).toContain('0001_log');
    await migrate(pool);
    expect(await names()).toEqual(first);
  });

  test.runIf(database.kind === 'postgres')(
    'twenty processes may start at once, on nothing and on the layout of before',
    async () => {
      const to = await database.empty();
      const pools = Array.from({ length: 20 }, () => openPool(to, { max: 1 }));
      await Promise.all(pools.map((one) => migrate(one)));
      await pools[0]!.query(`DELETE FROM layout WHERE name >= '0012'; DROP TABLE layout_needs`);
      await Promise.all(pools.map((one) => migrate(one)));
      const [row] = await run<{ n: number; d: number }>(
        pools[0]!,
        'count',
        'SELECT count(*)::int n, count(DISTINCT name)::int d FROM layout',
      );
      expect(row?.n).toBe(row?.d);
      await Promise.all(pools.map((one) => one.end()));
    },
  );

  test('a layout that is newer than the code is used as long as it says so, and refused by its name', async () => {
    await migrate(pool);
    await pool.query(`INSERT INTO layout (name, run_on) VALUES ('0999_later', now())`);
    await migrate(pool);
    // The view of a rebuild would lack what 0999 has added to the live one.
    const indexes = { propertiesIndex: 'off', eventRowRetentionMs: 0 } as const;
    await expect(postgresRebuilds(pool, indexes).open()).rejects.toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
      message: expect.stringContaining('0999_later'),
    });
    await pool.query(`UPDATE layout_needs SET step = '0999_later'`);
    await expect(migrate(pool)).rejects.toMatchObject({
      code: 'DATA_DIR_NEWER',
      message: expect.stringContaining('0999_later'),
    });
    await pool.query(`DELETE FROM layout WHERE name = '0999_later'; UPDATE layout_needs SET step = '0013_layout_needs'`);
  });

  test('autovacuum of the tables that are written most is set, also of a month and of every partition', async () => {
    await migrate(pool);
    await prepareMonths(pool, [{ hour: 500_000 }]);
    const text = `SELECT relname AS name, array_to_string(reloptions, ' ') AS options FROM pg_class
      WHERE relkind = 'r' AND reloptions::text LIKE '%autovacuum%' AND relnamespace = 'public'::regnamespace`;
    const found = new Map(
      (await run<{ name: string; options: string }>(pool, 'read', text)).map(({ name, options }) => [name, options]),
    );
    const partitions = Array.from({ length: 8 }, (_, n) => `metering_events_${n}`);
    const others = ['hour_partials', 'log_records', 'outbox', 'partials', 'rollups', 'usage_daily', 'usage_hourly_2027_01'];
    expect([...found.keys()].sort()).toEqual([...partitions, ...others].sort());
    expect(found.get('usage_hourly_2027_01')).toContain('autovacuum_vacuum_scale_factor=0.01');
    expect(found.get('rollups')).toBe(
      'fillfactor=80 autovacuum_vacuum_scale_factor=0.01 autovacuum_analyze_scale_factor=0.02',
    );
  });

  test.runIf(database.kind === 'postgres')(
    'a step that waits for its lock lets others pass, and is tried again',
    async () => {
      const own = openPool(await database.empty(), { max: 4 });
      await migrate(own);
      await own.query(`DELETE FROM layout WHERE name >= '0012'; DROP TABLE layout_needs`);
      const holder = await own.connect();
      await holder.query('BEGIN; LOCK TABLE rollups IN SHARE UPDATE EXCLUSIVE MODE');
      let tries = 0;
      const waits = { ...systemClock, sleep: async () => void ((tries += 1), await holder.query('COMMIT')) };
      await migrate(own, waits);
      expect(tries).toBe(1);
      expect(await run(own, 'read', `SELECT 1 AS one FROM layout WHERE name = '0012_autovacuum'`)).toHaveLength(1);
      holder.release();
      await own.end();
    },
  );

  test('bigint is a number up to 2^53 and an error beyond, numeric and times are text in UTC', async () => {
    const text = `SELECT 9007199254740991::bigint AS safe, 1.10::numeric AS exact, '2026-03-29 03:30:00.123456+02'::timestamptz AS at`;
    expect(await run(pool, 'select', text)).toEqual([
      { safe: 9007199254740991, exact: '1.10', at: '2026-03-29 01:30:00.123456+00' },
    ]);
    await expect(run(pool, 'select', 'SELECT 9007199254740993::bigint AS n')).rejects.toThrow('beyond 2^53');
    expect(await run(pool, 'select', 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('a session is READ COMMITTED and waits for the disk, whatever the server says', async () => {
    const text = `SELECT current_setting('default_transaction_isolation') AS isolation, current_setting('synchronous_commit') AS sync`;
    expect(await run(pool, 'select', text)).toEqual([{ isolation: 'read committed', sync: 'on' }]);
  });

  test.runIf(database.kind === 'postgres')(
    'a session has the limits and the name that settings give it, or the defaults',
    async () => {
      const text = `SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock,
      current_setting('idle_in_transaction_session_timeout') AS idle, current_setting('application_name') AS name`;
      expect(await run(pool, 'select', text)).toEqual([{ statement: '30s', lock: '10s', idle: '30s', name: 'meterfold' }]);
      const flags = {
        databaseStatementTimeoutMs: 1500,
        databaseLockTimeoutMs: 200,
        databaseIdleInTransactionTimeoutMs: 2500,
      };
      const own = openPool(connection, poolOptionsOf(parseConfig({ flags }), 'publisher'));
      const [found] = await run(own, 'select', text);
      expect(found).toEqual({ statement: '1500ms', lock: '200ms', idle: '2500ms', name: 'meterfold publisher' });
      await pool.query('CREATE TABLE IF NOT EXISTS held ()');
      const waited = inTransaction(pool, 'hold', async (holder) => {
        await holder.query('LOCK TABLE held');
        await run(own, 'wait', 'SELECT FROM held');
      });
      await expect(waited).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE', cause: { code: '55P03' } });
      await own.end();
    },
  );

  test('a lock may not be waited for longer than a statement may take', () => {
    const config = parseConfig({ flags: { databaseStatementTimeoutMs: 5000 } });
    expect(() => poolOptionsOf(config, 'api')).toThrow(
      expect.objectContaining({ code: 'BAD_CONFIG', detail: expect.objectContaining({ field: 'databaseLockTimeoutMs' }) }),
    );
    expect(() => parseConfig({ flags: { databaseConnections: 1 } })).toThrow('databaseConnections');
  });

  test('a transaction commits what its work did, or nothing of it', async () => {
    await pool.query('CREATE TABLE IF NOT EXISTS probe (n int)');
    expect(
      await inTransaction(pool, 'probe', async (client) => (await client.query('INSERT INTO probe VALUES (1)')).rowCount),
    ).toBe(1);
    const failed = inTransaction(pool, 'probe', async (client) => {
      await client.query('INSERT INTO probe VALUES (2)');
      throw new Error('no');
    });
    await expect(failed).rejects.toThrow('no');
    const swallowed = inTransaction(pool, 'probe', async (client) => {
      await client.query('INSERT INTO probe VALUES (3)');
      await client.query('SELECT 1 / 0').catch(() => undefined);
    });
    await expect(swallowed).rejects.toThrow('rolled back');
    expect(await run(pool, 'select', 'SELECT n FROM probe')).toEqual([{ n: 1 }]);
    await pool.query('DROP TABLE probe');
  });

  test.runIf(database.kind === 'postgres')(
    'a connection to a server that is read-only by now is not used again',
    async () => {
      const own = openPool(connection, { max: 1 });
      await own.query('SET default_transaction_read_only = on');
      const write = () => inTransaction(own, 'probe', (client) => client.query('CREATE TABLE written ()'));
      await expect(write()).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE', cause: { code: '25006' } });
      await write();
      await own.query('DROP TABLE written');
      await own.end();
    },
  );

  test.runIf(database.kind === 'postgres')(
    'connections that are killed are a passing failure, and the pool replaces them',
    async () => {
      const killed = inTransaction(pool, 'probe', (client) => client.query('SELECT pg_terminate_backend(pg_backend_pid())'));
      await expect(killed).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE', kind: 'transient' });
      const other = openPool(connection, { max: 1 });
      await pool.query('SELECT 1');
      await other.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()`,
      );
      await other.end();
      const deadline = performance.now() + 5000;
      for (;;) {
        const answer = await run(pool, 'select', 'SELECT 1 AS one').catch((error: unknown) => error);
        if (Array.isArray(answer)) break;
        expect(answer).toMatchObject({ code: 'DATABASE_UNAVAILABLE' });
        expect(performance.now()).toBeLessThan(deadline);
      }
    },
  );
});
