import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { migrate } from '../../src/sinks/postgres/migrate.ts';
import { openPool } from '../../src/sinks/postgres/pool.ts';
import { openPostgresLog, type PostgresLog } from '../../src/sources/postgres.ts';
import {
  demandWritten,
  type LogFixture,
  outgoing,
  read,
  readAll,
  recordsOf,
  sourceConformance,
  textOf,
} from '../../src/conformance/source.ts';
import { type FlakyProxy, flakyProxy } from '../support/flaky-proxy.ts';
import type { Connection } from '../support/postgres-server.ts';
import { describeEachDatabase } from '../support/postgres-services.ts';

const PARTITIONS = 3;
const never = new AbortController().signal;

describeEachDatabase('the PostgreSQL log', (database) => {
  let connection: Connection;
  let admin: pg.Pool;
  let proxy: FlakyProxy;
  let pools: pg.Pool[] = [];
  let logs: PostgresLog[] = [];

  beforeAll(async () => {
    connection = await database.empty();
    admin = openPool(connection, { max: 4 });
    await migrate(admin);
    proxy = await flakyProxy(connection);
  });
  afterAll(async () => {
    await admin.end();
    await proxy.close();
  });

  const poolTo = (to: Connection): pg.Pool => {
    const pool = openPool(to, { max: 4 });
    pools.push(pool);
    return pool;
  };
  const open = async (pool = poolTo(connection), partitions = PARTITIONS): Promise<PostgresLog> => {
    const log = await openPostgresLog({ pool, partitions, clock: systemClock, pollMs: 20 });
    logs.push(log);
    return log;
  };
  /** A log of its own for each test: emptied tables are quicker than a fresh database. */
  const clear = async (): Promise<void> => void (await admin.query('TRUNCATE log_streams, log_partitions, log_records'));
  const close = async (): Promise<void> => {
    for (const log of logs) await log.close();
    for (const pool of pools) await pool.end();
    [logs, pools] = [[], []];
  };

  sourceConformance('PostgreSQL log', async (): Promise<LogFixture> => {
    await clear();
    const outage = (): Promise<() => Promise<void>> => {
      proxy.cut();
      return Promise.resolve(async () => proxy.restore());
    };
    return {
      log: await open(poolTo(proxy.connection)),
      again: () => open(),
      batch: { records: 2000, bytes: 1024 * 1024 },
      end: async (lineage) =>
        void (await admin.query('UPDATE log_partitions SET ended = true WHERE lineage = $1', [lineage])),
      outage,
      close,
    };
  });

  const home = async (log: PostgresLog): Promise<{ id: string; origin: string }> =>
    (await log.lineages()).find((lineage) => lineage.owns('acme'))!;

  test('those who open at once make one log, whose lineages carry its uuid and number', async () => {
    await clear();
    try {
      const opened = await Promise.all(Array.from({ length: 6 }, () => open()));
      const ids = await Promise.all(opened.map(async (log) => (await log.lineages()).map(({ id }) => id)));
      for (const other of ids) expect(other).toEqual(ids[0]);
      ids[0]?.forEach((id, n) => expect(id).toMatch(new RegExp(`^pg\\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\\.${n}$`)));
      await expect(open(undefined, PARTITIONS + 1)).rejects.toMatchObject({
        code: 'INSTALLATION_DIFFERS',
        detail: { field: 'partitions', value: '4', allowed: '3' },
      });
    } finally {
      await close();
    }
  });

  describe('on a log', () => {
    let log: PostgresLog;
    beforeEach(async () => {
      await clear();
      log = await open(poolTo(proxy.connection));
    });
    afterEach(close);

    test('an append whose answer was lost is an error, may be in the log, and is harmless to send again', async () => {
      const { id, origin } = await home(log);
      demandWritten(await log.append([outgoing('acme', 'before')]));
      const cut = proxy.loseReplies();
      const pending = log.append([outgoing('acme', 'lost')]);
      const deadline = performance.now() + 10_000;
      while ((await admin.query('SELECT 1 FROM log_records')).rowCount !== 2 && performance.now() < deadline);
      cut();
      const [outcome] = await pending;
      expect(outcome).toMatchObject({ code: 'LOG_UNAVAILABLE' });
      demandWritten(await log.append([outgoing('acme', 'lost')]));
      expect(recordsOf(await read(log, id, origin, 3)).map(textOf)).toEqual(['before', 'lost', 'lost']);
    });

    test('appends that come while one is under way go together in the next statement', async () => {
      let statements = 0;
      const pool = poolTo(connection);
      const query = pool.query.bind(pool) as (...args: unknown[]) => unknown;
      Object.assign(pool, { query: (...args: unknown[]) => ((statements += 1), query(...args)) });
      const counted = await open(pool);
      statements = 0;
      await Promise.all(Array.from({ length: 500 }, (_, n) => counted.append([outgoing('acme', `${n}`)])));
      expect(statements).toBe(2);
      await counted.append(Array.from({ length: 12_000 }, (_, n) => outgoing('acme', `${n}`)));
      // 5,000 records a statement.
      expect(statements).toBe(5);
      const { id, origin } = await home(log);
      expect(recordsOf(await read(log, id, origin, 12_500))).toHaveLength(12_500);
    });

    test('it says how far it reads: what is not read yet, when the last record came, and nothing once it reads no more', async () => {
      const { id, origin } = await home(log);
      demandWritten(await log.append([outgoing('acme', 'a'), outgoing('acme', 'b')]));
      expect(log.standings()).toEqual([]);
      const reader = log.open(id, origin);
      const batch = (await reader.next(never))!;
      const arrival = batch.records.at(-1)?.arrival;
      expect(arrival).toBeGreaterThan(0);
      const read = { lineage: id, at: batch.next, arrival, heldBack: undefined };
      expect(log.standings()).toEqual([{ ...read, lag: 0 }]);
      demandWritten(await log.append([outgoing('acme', 'c'), outgoing('acme', 'd'), outgoing('acme', 'e')]));
      expect(log.standings()).toEqual([{ ...read, lag: 3 }]);
      await reader[Symbol.asyncDispose]();
      expect(log.standings()).toEqual([]);
    });

    test('readers that wait share their looks', async () => {
      let looks = 0;
      const pool = poolTo(connection);
      const query = pool.query.bind(pool) as (...args: unknown[]) => unknown;
      Object.assign(pool, { query: (...args: unknown[]) => ((looks += 1), query(...args)) });
      const watched = await open(pool);
      const stop = new AbortController();
      const waiting = (await watched.lineages()).map(async ({ id, origin }) => watched.open(id, origin).next(stop.signal));
      looks = 0;
      const started = performance.now();
      await systemClock.sleep(1000);
      const elapsed = performance.now() - started;
      stop.abort();
      await Promise.all(waiting);
      // One each 20 ms, with one more for the first of each reader; not one a reader.
      expect(looks).toBeLessThanOrEqual(elapsed / 20 + PARTITIONS + 1);
      demandWritten(await log.append([outgoing('acme', 'x')]));
    });

    test('a reader that waits stops when the log is replaced under it, or shortened', async () => {
      const { id } = await home(log);
      demandWritten(await log.append(Array.from({ length: 5 }, (_, n) => outgoing('acme', `${n}`))));
      const { end } = await log.bounds(id);
      const waiting = log.open(id, end).next(never);
      await admin.query('UPDATE log_partitions SET next_position = 3 WHERE lineage = $1', [id]);
      await expect(waiting).rejects.toMatchObject({ code: 'LOG_REPLACED' });
      const again = log.open(id, '00000000000000000003').next(never);
      await admin.query('DELETE FROM log_partitions WHERE lineage = $1', [id]);
      await expect(again).rejects.toMatchObject({ code: 'LOG_REPLACED' });
      const [outcome] = await log.append([outgoing('acme', 'x')]);
      expect(outcome).toMatchObject({ code: 'LOG_REPLACED' });
      await expect(log.bounds(id)).rejects.toMatchObject({ code: 'LOG_REPLACED' });
      await expect(log.trim(id, end)).rejects.toMatchObject({ code: 'LOG_REPLACED' });
    });

    test('a hole, a control record of a later version and a foreign position stop a reader', async () => {
      const { id, origin } = await home(log);
      demandWritten(await log.append(Array.from({ length: 5 }, (_, n) => outgoing('acme', `${n}`))));
      expect(() => log.open(id, '49590338271490256608559692538361571095921575989136588898')).toThrow('is no position of it');
      await admin.query('DELETE FROM log_records WHERE lineage = $1 AND position = 2', [id]);
      await expect(log.open(id, origin).next(never)).rejects.toMatchObject({ code: 'LOG_DISORDER', kind: 'fatal' });
      await admin.query(`UPDATE log_records SET kind = 1, value = '{"type":"spread"}' WHERE lineage = $1 AND position = 4`, [
        id,
      ]);
      await expect(log.open(id, '00000000000000000004').next(never)).rejects.toMatchObject({ code: 'DATA_DIR_NEWER' });
    });

    test('a trim of many records, and one that died half way, leave nothing behind', async () => {
      const { id } = await home(log);
      demandWritten(await log.append(Array.from({ length: 12_345 }, (_, n) => outgoing('acme', `${n}`))));
      await admin.query('UPDATE log_partitions SET first_position = 100 WHERE lineage = $1', [id]);
      expect(await log.trim(id, '00000000000000012000')).toBe(12_000);
      expect((await readAll(log)).get(id)).toHaveLength(345);
      // Behind the end there is nothing to forget.
      expect(await log.trim(id, '00000000000000099999')).toBe(345);
      expect(await log.bounds(id)).toEqual({ first: '00000000000000012345', end: '00000000000000012345' });
    });

    test("arrivals never go back, whatever the server's clock does", async () => {
      const { id, origin } = await home(log);
      const ahead = Date.now() + 3_600_000;
      await admin.query('UPDATE log_partitions SET last_arrival = $2 WHERE lineage = $1', [id, ahead]);
      demandWritten(await log.append([outgoing('acme', 'x')]));
      expect(recordsOf(await read(log, id, origin, 1))[0]?.arrival).toBe(ahead);
    });

    test('a large append is cut by its bytes', async () => {
      const { id, origin } = await home(log);
      const values = Array.from({ length: 13 }, () => randomBytes(1024 * 1024));
      demandWritten(await log.append(values.map((value) => ({ routingKey: 'acme', value }))));
      const records = recordsOf(await read(log, id, origin, 13));
      records.forEach(({ value }, n) => expect(values[n]?.equals(value)).toBe(true));
    });
  });
});
