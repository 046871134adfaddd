import type { Pool } from 'pg';
import { describe, expect, test } from 'vitest';
import type { Homeward, HourUsage } from '../../src/contract.ts';
import type { Cell } from '../../src/domain/cell.ts';
import { postgresBatchView } from '../../src/sinks/postgres/batch-view.ts';
import { postgresCatalog } from '../../src/sinks/postgres/catalog.ts';
import { usageDaily } from '../../src/sinks/postgres/events.ts';
import { migrate } from '../../src/sinks/postgres/migrate.ts';
import { openPool } from '../../src/sinks/postgres/pool.ts';
import * as texts from '../../src/sinks/postgres/publish-sql.ts';
import { publishTransaction, type Statements } from '../../src/sinks/postgres/publish-transaction.ts';
import { postgresRejects } from '../../src/sinks/postgres/redrive.ts';
import { listRejects } from '../../src/sinks/postgres/rejects.ts';
import { archived, batchViewConformance, cell, hour, publishCells } from '../../src/conformance/batch-view.ts';
import { catalogConformance } from '../../src/conformance/catalog.ts';
import { rejectAt, rejectsConformance, sealRejects } from '../../src/conformance/rejects.ts';
import { describeEachDatabase, type TestDatabase } from '../support/postgres-services.ts';
import { at } from '../support/scripted-source.ts';

async function poolOf(database: TestDatabase): Promise<Pool> {
  const pool = openPool(await database.empty(), { max: database.kind === 'pglite' ? 1 : 10 });
  await migrate(pool);
  return pool;
}

describeEachDatabase('views', (database) => {
  batchViewConformance(database.name, async () => {
    const pool = await poolOf(database);
    return { batch: postgresBatchView(pool), days: () => usageDaily(pool), close: () => pool.end() };
  });
  catalogConformance(database.name, async () => {
    const pool = await poolOf(database);
    const rejects = async () => (await postgresRejects(pool).waiting({}, { limit: 100 })).rejects;
    return { catalog: postgresCatalog(pool, { firstFormat: 1 }), rejects, close: () => pool.end() };
  });

  rejectsConformance(database.name, async () => {
    const pool = await poolOf(database);
    const catalog = postgresCatalog(pool, { firstFormat: 1 });
    return { catalog, rejects: postgresRejects(pool), close: () => pool.end() };
  });
  test('a list shows when a reject was redriven', async () => {
    const pool = await poolOf(database);
    const catalog = postgresCatalog(pool, { firstFormat: 1 });
    await sealRejects(catalog, [rejectAt(1), rejectAt(2)]);
    await postgresRejects(pool).redrive([{ ...rejectAt(1), routingKey: 't' }], 1_790_000_000_123);
    const { rows } = await listRejects(pool, { limit: 10 });
    expect(rows.map(({ position, redrivenAt }) => [position, redrivenAt])).toEqual([
      [at(2), null],
      [at(1), 1_790_000_000_123],
    ]);
    await pool.end();
  });

  if (database.kind === 'postgres') {
    concurrency(database);
    redrives(database);
  }
});

type Part = readonly [readonly Cell[], readonly HourUsage[]];

/** Two publishers, one step at a time, that meet at a rollup or at a day. */
async function meet(pool: Pool, sql: Statements, [mine, theirs]: readonly [Part, Part]): Promise<void> {
  const [one, two] = [await pool.connect(), await pool.connect()];
  try {
    const [first, second] = [publishTransaction(one, sql), publishTransaction(two, sql)];
    await Promise.all([one.query('BEGIN'), two.query('BEGIN')]);
    await first.writePartials('l0', 0, ...mine);
    await first.lockRollups(...mine);
    await first.recomputeRollups(...mine);
    await second.writePartials('l1', 0, ...theirs);
    // The second waits here for the first, where it has a lock to wait for.
    const rest = second.lockRollups(...theirs).then(() => second.recomputeRollups(...theirs));
    const waited = rest.then(() => two.query('COMMIT'));
    await untilBlockedOrDone(pool, waited);
    await one.query('COMMIT');
    await waited;
  } finally {
    one.release();
    two.release();
  }
}

/** What the rollup holds where two publishers met. */
async function twoPublishers(pool: Pool, sql: Statements): Promise<bigint | undefined> {
  await meet(pool, sql, [
    [[cell(1n)], []],
    [[cell(2n)], []],
  ]);
  return (await postgresBatchView(pool).snapshot({ edges: [0, 2 ** 31 - 1] })).cells[0]?.sum;
}

async function untilBlockedOrDone(pool: Pool, work: Promise<unknown>): Promise<void> {
  const done = new AbortController();
  const ended = work.then(
    () => done.abort(),
    () => done.abort(),
  );
  const isDone = (): boolean => done.signal.aborted;
  for (;;) {
    const { rows } = await pool.query<{ blocked: number }>(
      `SELECT count(*)::int AS blocked FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
    );
    if (isDone() || (rows[0]?.blocked ?? 0) > 0) return;
    await Promise.race([ended, new Promise((resolve) => setImmediate(resolve))]);
  }
}

const home = (...positions: readonly number[]): Homeward[] =>
  positions.map((n) => ({ lineage: 'l0', position: at(n), code: 'UNKNOWN_TENANT', routingKey: 't' }));

/** Rejects 1 to 3, and two connections on which a redrive may be under way. */
async function twoRedrives(database: TestDatabase) {
  const pool = await poolOf(database);
  await sealRejects(postgresCatalog(pool, { firstFormat: 1 }), [rejectAt(1), rejectAt(2), rejectAt(3)]);
  const [one, two] = [await pool.connect(), await pool.connect()];
  const close = async (): Promise<void> => {
    one.release();
    two.release();
    await pool.end();
  };
  return { pool, one, two, close };
}

function redrives(database: TestDatabase): void {
  describe('redrives on a real server', () => {
    test('one that waited for another finds its mark, and sends only what that one left', async () => {
      const { pool, one, two, close } = await twoRedrives(database);
      await one.query('BEGIN');
      expect(await postgresRejects(one).redrive(home(1, 2), 5)).toEqual(new Map([['UNKNOWN_TENANT', 2]]));
      const waiting = postgresRejects(two).redrive(home(3, 2, 1), 6);
      await untilBlockedOrDone(pool, waiting);
      await one.query('COMMIT');
      expect(await waiting).toEqual(new Map([['UNKNOWN_TENANT', 1]]));
      expect(await postgresCatalog(pool, { firstFormat: 1 }).outbox(10)).toHaveLength(3);
      await close();
    });

    test('one that waited for another that died sends all', async () => {
      const { pool, one, two, close } = await twoRedrives(database);
      await one.query('BEGIN');
      await postgresRejects(one).redrive(home(1, 2), 5);
      const waiting = postgresRejects(two).redrive(home(3, 2, 1), 6);
      await untilBlockedOrDone(pool, waiting);
      await one.query('ROLLBACK');
      expect(await waiting).toEqual(new Map([['UNKNOWN_TENANT', 3]]));
      expect(await postgresCatalog(pool, { firstFormat: 1 }).outbox(10)).toHaveLength(3);
      await close();
    });

    test('rows are locked in the order of their key, whatever the order of the request', async () => {
      const { pool, one, two, close } = await twoRedrives(database);
      const lock = (n: number, how = '') =>
        pool.query(`SELECT 1 FROM rejects WHERE position = $1 FOR UPDATE ${how}`, [at(n)]);
      await one.query('BEGIN');
      await one.query('SELECT 1 FROM rejects WHERE position = $1 FOR UPDATE', [at(2)]);
      const waiting = postgresRejects(two).redrive(home(3, 1, 2), 6);
      await untilBlockedOrDone(pool, waiting);
      await expect(lock(1, 'NOWAIT')).rejects.toMatchObject({ code: '55P03' });
      expect((await lock(3, 'NOWAIT')).rows).toHaveLength(1);
      await one.query('ROLLBACK');
      await waiting;
      await close();
    });
  });
}

function concurrency(database: TestDatabase): void {
  describe('publishers on a real server', () => {
    test('two that meet at a rollup both count', async () => {
      const pool = await poolOf(database);
      expect(await twoPublishers(pool, texts)).toBe(3n);
      await pool.end();
    });

    const keys = '$1::text[], $2::text[], $3::int[], $4::text[]';
    const mutants: [string, Partial<Statements>][] = [
      // The second reads the partials, then waits for the first's write of the row, and overwrites it.
      ['without the lock on rollups, one is lost', { LOCK_ROLLUPS: `SELECT ${keys}` }],
      // One statement sees one snapshot: what the lock waited for is not in it.
      [
        'with lock and recompute in one statement, one is lost',
        {
          LOCK_ROLLUPS: `SELECT ${keys}`,
          RECOMPUTE_ROLLUPS: texts.RECOMPUTE_ROLLUPS.replace(
            'INSERT',
            'WITH locked AS (SELECT 1 FROM rollups FOR UPDATE) INSERT',
          ).replace('GROUP BY', 'WHERE (SELECT count(*) FROM locked) > 0 GROUP BY'),
        },
      ],
    ];
    test.each(mutants)('%s', async (_, mutant) => {
      const pool = await poolOf(database);
      await pool.query(`INSERT INTO rollups (tenant_id, meter, minute, grp) VALUES ('acme', 'calls@1', $1, '[]')`, [
        cell(0n).minute,
      ]);
      expect(await twoPublishers(pool, { ...texts, ...mutant })).not.toBe(3n);
      await pool.end();
    });

    /** What a day holds where two publishers brought an hour of it each. */
    const twoHours = async (pool: Pool, sql: Statements): Promise<bigint | undefined> => {
      const [one, other] = [hour(1n), hour(2n, 1, { hour: hour(0n).hour + 1 })];
      await postgresBatchView(pool).prepare([one]);
      // prettier-ignore
      await meet(pool, sql, [[[], [one]], [[], [other]]]);
      return (await usageDaily(pool))[0]?.total;
    };
    const days = '$1::text[], $2::text[], $3::int[]';
    const unlocked = { INSERT_DAYS: `SELECT ${days}`, LOCK_DAYS: `SELECT ${days}` };
    const daily: [string, bigint, Partial<Statements>][] = [
      ['two hours of a day both count', 3n, {}],
      ['without the lock on days, one hour is lost', 2n, unlocked],
    ];
    test.each(daily)('%s', async (_, total, mutant) => {
      const pool = await poolOf(database);
      await pool.query(`INSERT INTO usage_daily (tenant_id, event_type, day) VALUES ('acme', 'calls', '2023-11-05')`);
      expect(await twoHours(pool, { ...texts, ...mutant })).toBe(total);
      await pool.end();
    });

    test('several at once, some killed in the middle, leave what a recount finds', async () => {
      const pool = await poolOf(database);
      const batch = postgresBatchView(pool);
      await batch.prepare([hour(0n)]);
      const work = Array.from({ length: 40 }, (_, n) => ({ lineage: `l${String(n % 5)}`, segment: Math.floor(n / 5) }));
      const cells = [0, 1, 2, 3].map((m) => cell(1n, { minute: cell(0n).minute + m }));
      const keyOf = (segment: number, n: number): string => String((segment * 7 + n) % 13);
      const publishOne = async ({ lineage, segment }: (typeof work)[number]): Promise<void> => {
        const events = [0, 1, 2].map((n) => archived(segment * 10 + n, { key: keyOf(segment, n) }));
        for (let tries = 0; tries < 50; tries += 1) {
          try {
            await batch.transaction(async (tx) => {
              await tx.insertEvents(lineage, events);
              await publishCells(tx, segment, cells, [hour(1n)], lineage);
            });
            return;
          } catch {
            // Killed: again, as the publisher does.
          }
        }
        throw new Error('never published');
      };
      const over = new AbortController();
      const isOver = (): boolean => over.signal.aborted;
      const killer = (async () => {
        while (!isOver()) {
          await pool
            .query(
              `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle' AND random() < 0.3`,
            )
            .catch(() => undefined);
          await new Promise((resolve) => setImmediate(resolve));
        }
      })();
      const killed = setInterval(() => over.abort(), 700);
      await Promise.all(
        Array.from({ length: 5 }, async (_, n) => {
          for (const one of work.filter((w) => w.lineage === `l${String(n)}`)) await publishOne(one);
        }),
      );
      over.abort();
      clearInterval(killed);
      await killer;
      const { cuts, cells: found } = await batch.snapshot({ edges: [0, 2 ** 31 - 1] });
      expect(found.map((c) => [c.sum, c.count])).toEqual([[160n, 160]]);
      expect([...cuts.values()].map((cut) => cut.position)).toEqual(Array(5).fill(at(8)));
      const { rows } = await pool.query<{ n: number }>('SELECT count(*)::int AS n FROM metering_events');
      expect(rows[0]?.n).toBe(new Set(work.flatMap(({ segment }) => [0, 1, 2].map((n) => keyOf(segment, n)))).size);
      await pool.end();
    });
  });
}
