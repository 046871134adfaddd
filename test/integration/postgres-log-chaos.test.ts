/** Concurrent writers on a real server, with faults: positions stay dense, nothing acknowledged is lost, nothing read changes. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { LogRecord, Source } from '../../src/contract.ts';
import { kindOf } from '../../src/errors.ts';
import { migrate } from '../../src/sinks/postgres/migrate.ts';
import { openPool } from '../../src/sinks/postgres/pool.ts';
import { openPostgresLog, type PostgresLog } from '../../src/sources/postgres.ts';
import { readAll, textOf } from '../../src/conformance/source.ts';
import { type Acknowledged, appendUntil } from '../support/append-load.ts';
import type { Orders } from '../support/append-child.ts';
import { type Connection, type PostgresServer, startPostgres } from '../support/postgres-server.ts';
import { describeOwnPostgres } from '../support/postgres-services.ts';

const PARTITIONS = 2;
const LOADER = new URL('../support/typescript.mjs', import.meta.url).href;
const CHILD = new URL('../support/append-child.ts', import.meta.url);

/** Follows a lineage as the runtime does: transient failures are waited out, each batch continues the last. */
class Follower {
  readonly records: LogRecord[] = [];
  failures = 0;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(log: Source, lineage: string, origin: string) {
    this.#done = this.#follow(log, lineage, origin);
    this.#done.catch(() => undefined);
  }

  async #follow(log: Source, lineage: string, origin: string): Promise<void> {
    await using reader = log.open(lineage, origin);
    for (let at = origin; ;) {
      try {
        const batch = await reader.next(this.#stop.signal);
        if (batch === undefined) return;
        expect(batch.from).toBe(at);
        at = batch.next;
        this.records.push(...batch.records);
      } catch (error) {
        if (kindOf(error) !== 'transient') throw error;
        this.failures += 1;
        await systemClock.sleep(20);
      }
    }
  }

  async until(count: number): Promise<void> {
    const deadline = performance.now() + 20_000;
    while (this.records.length < count && performance.now() < deadline) {
      await Promise.race([this.#done, systemClock.sleep(10)]);
    }
    this.#stop.abort();
    await this.#done;
  }
}

function demandExact(
  followed: ReadonlyMap<string, Follower>,
  all: ReadonlyMap<string, LogRecord[]>,
  taken: Acknowledged[],
): void {
  for (const [lineage, records] of all) {
    records.forEach(({ position }, n) => expect(Number(position)).toBe(n));
    expect(followed.get(lineage)?.records).toEqual(records);
  }
  const texts = new Map(
    [...all].flatMap(([id, list]) => list.map((record) => [`${id} ${record.position}`, textOf(record)])),
  );
  for (const { lineage, position, text } of taken) expect(texts.get(`${lineage} ${position}`)).toBe(text);
  expect(new Set(taken.map(({ text }) => text)).size).toBe(taken.length);
}

describeOwnPostgres('the PostgreSQL log under faults', () => {
  let server: PostgresServer;
  let connection: Connection;
  let pools: pg.Pool[] = [];
  const children: ChildProcess[] = [];

  beforeAll(async () => {
    server = await startPostgres({ durable: true });
  });
  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(pools.map((pool) => pool.end()));
    await server.stop();
  });

  const open = async (): Promise<PostgresLog> => {
    const pool = openPool(connection, { max: 6 });
    pools.push(pool);
    await migrate(pool);
    return openPostgresLog({ pool, partitions: PARTITIONS, clock: systemClock, pollMs: 10 });
  };
  const fresh = async (): Promise<void> => {
    await Promise.all(pools.map((pool) => pool.end()));
    pools = [];
    connection = await server.createDatabase();
  };
  const startChild = async (name: string): Promise<() => Promise<Acknowledged[]>> => {
    const child = fork(CHILD, [], { execArgv: ['--import', LOADER] });
    children.push(child);
    child.send({ connection, partitions: PARTITIONS, name, lanes: 6 } satisfies Orders);
    await once(child, 'message');
    return async () => {
      child.send('stop');
      const [taken] = (await once(child, 'message')) as [Acknowledged[]];
      await once(child, 'exit');
      return taken;
    };
  };

  /** Runs writers of three pools and two processes and a follower a lineage, does `harm` meanwhile, and checks all. */
  async function run(harm: () => Promise<void>): Promise<{ taken: number; written: number; failures: number }> {
    await fresh();
    const logs = [await open(), await open(), await open()];
    const reading = await open();
    const followed = new Map((await reading.lineages()).map(({ id, origin }) => [id, new Follower(reading, id, origin)]));
    const ends = [await startChild('child-1'), await startChild('child-2')];
    const stop = new AbortController();
    const own = logs.map((log, n) => appendUntil(log, { name: `pool-${n}`, lanes: 8 }, stop.signal));
    await harm();
    stop.abort();
    const taken = (await Promise.all([...own, ...ends.map((end) => end())])).flat();
    const all = await readAll(logs[0]!);
    for (const [id, records] of all) await followed.get(id)?.until(records.length);
    demandExact(followed, all, taken);
    const written = [...all.values()].reduce((sum, records) => sum + records.length, 0);
    return { taken: taken.length, written, failures: [...followed.values()].reduce((sum, f) => sum + f.failures, 0) };
  }

  test('writers of several pools and processes at once leave no gap behind a reader', async () => {
    const { taken, written } = await run(() => systemClock.sleep(2000));
    expect(taken).toBe(written);
    expect(taken).toBeGreaterThan(1000);
  });

  test('writers whose backends are killed in mid-append lose nothing that was acknowledged', async () => {
    let killed = 0;
    const { taken, written } = await run(async () => {
      const killer = openPool(connection, { max: 1 });
      for (let n = 0; n < 100; n += 1) {
        const { rowCount } = await killer.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND state = 'active' AND query LIKE '%UPDATE log_partitions%'
            AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2`);
        killed += rowCount ?? 0;
        await systemClock.sleep(20);
      }
      await killer.end();
    });
    expect(killed).toBeGreaterThan(20);
    expect(written).toBeGreaterThanOrEqual(taken);
  });

  test('an immediate shutdown and a SIGKILL of the server lose nothing acknowledged, and nothing that was read', async () => {
    const { taken, written, failures } = await run(async () => {
      for (const signal of ['SIGQUIT', 'SIGKILL', 'SIGQUIT', 'SIGKILL'] as const) {
        await systemClock.sleep(500);
        await server.kill(signal);
        await server.restart();
      }
      await systemClock.sleep(500);
    });
    expect(failures).toBeGreaterThan(0);
    expect(written).toBeGreaterThanOrEqual(taken);
  });
});
