/** Leases in PostgreSQL: who reads which lineage, where the log has no groups. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { Lineage } from '../../src/contract.ts';
import { MeterError } from '../../src/errors.ts';
import { migrate } from '../../src/sinks/postgres/migrate.ts';
import { openPool } from '../../src/sinks/postgres/pool.ts';
import { leases } from '../../src/sources/leases.ts';
import { flakyProxy } from '../support/flaky-proxy.ts';
import type { Connection } from '../support/postgres-server.ts';
import { describePostgres } from '../support/postgres-services.ts';

const TTL_MS = 1000;
const DRAIN_MS = 50;
const poll = { timeout: 20_000, interval: 20 };

describePostgres('leases', (database) => {
  let connection: Connection;
  let pool: Pool;
  let lineages: Lineage[];
  let members: Map<string, { readonly stop: AbortController; readonly done: Promise<void> }>;
  let holders: Map<string, string[]>;
  let overlaps: number;
  let troubles: number;

  beforeEach(async () => {
    connection = await database.empty();
    pool = openPool(connection, { max: 8 });
    await migrate(pool);
    lineages = Array.from({ length: 7 }, (_, n) => lineage(`l${String(n)}`));
    [members, holders, overlaps, troubles] = [new Map(), new Map(), 0, 0];
  });
  afterEach(async () => {
    for (const { stop } of members.values()) stop.abort();
    await Promise.allSettled([...members.values()].map(({ done }) => done));
    await pool.end();
  });

  const lineage = (id: string): Lineage => ({ id, parents: [], depth: 0, origin: '0', owns: () => true });
  const held = (owner: string): string[] => [...holders].flatMap(([id, by]) => (by.includes(owner) ? [id] : []));
  const shares = (): number[] => [...members.keys()].map((owner) => held(owner).length).sort();

  const hold =
    (owner: string) =>
    async ({ id }: Lineage, giveUp: AbortSignal) => {
      const others = holders.get(id) ?? [];
      if (others.length > 0) overlaps += 1;
      holders.set(id, [...others, owner]);
      await new Promise((resolve) => giveUp.addEventListener('abort', resolve, { once: true }));
      await sleep(DRAIN_MS);
      holders.set(
        id,
        holders.get(id)!.filter((other) => other !== owner),
      );
    };

  function join(owner: string, on = pool, holding = hold(owner)): void {
    const stop = new AbortController();
    const health = { troubled: () => void (troubles += 1), settled: () => undefined };
    const options = { pool: on, clock: systemClock, lineages: async () => lineages, owner, ttlMs: TTL_MS, health };
    const done = leases(options).share(holding, stop.signal);
    done.catch(() => undefined);
    members.set(owner, { stop, done });
  }
  const leave = async (owner: string): Promise<void> => {
    members.get(owner)!.stop.abort();
    await members.get(owner)!.done;
    members.delete(owner);
  };

  test('members share within one of each other, and nothing is read by two while all is well', async () => {
    join('a');
    await expect.poll(shares, poll).toEqual([7]);
    join('b');
    join('c');
    await expect.poll(shares, poll).toEqual([2, 2, 3]);
    lineages.push(lineage('l7'), lineage('l8'));
    await expect.poll(shares, poll).toEqual([3, 3, 3]);
    await leave('b');
    await expect.poll(shares, poll).toEqual([4, 5]);
    expect(overlaps).toBe(0);
  });

  test('what a member held that is gone without a word is taken over', async () => {
    const proxy = await flakyProxy(connection);
    const own = openPool(proxy.connection, { max: 2 });
    join('dead', own);
    await expect.poll(shares, poll).toEqual([7]);
    // It cannot renew any more: for the others it is dead, and it gives up what it holds.
    proxy.cut();
    join('heir');
    await expect.poll(() => held('heir').length, poll).toBe(7);
    await expect.poll(() => held('dead').length, poll).toBe(0);
    expect(troubles).toBeGreaterThan(0);
    // Back, it gets its share.
    proxy.restore();
    await expect.poll(shares, poll).toEqual([3, 4]);
    await leave('dead');
    await own.end();
    await proxy.close();
  });

  test('what a holder throws is thrown, once the others are drained and their leases are free', async () => {
    const fail = async (one: Lineage, giveUp: AbortSignal): Promise<void> => {
      if (one.id === 'l3') throw new MeterError('LOG_REPLACED', 'it stops here');
      await hold('a')(one, giveUp);
    };
    join('a', pool, fail);
    await expect(members.get('a')!.done).rejects.toThrow('it stops here');
    expect(held('a')).toEqual([]);
    expect((await pool.query('SELECT lineage FROM lineage_leases')).rows).toEqual([]);
    expect((await pool.query('SELECT member FROM lease_members')).rows).toEqual([]);
  });
});
