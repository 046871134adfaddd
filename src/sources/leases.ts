/**
 * Shares lineages between processes by leases in PostgreSQL, for logs that have no groups of their own. A lease says who should
 * read what, and nothing more: where two read one for a while, fences decide. All times are those of the database.
 */
import type { Pool } from 'pg';
import type { Clock } from '../clock.ts';
import type { Lineage, Sharing, SharingHealth } from '../contract.ts';
import { kindOf } from '../errors.ts';
import { inTransaction, type Queryable, run } from '../sinks/postgres/pool.ts';
import { Holdings } from './holdings.ts';

export interface LeaseOptions {
  readonly pool: Pool;
  readonly clock: Clock;
  readonly lineages: () => Promise<readonly Lineage[]>;
  /** Names this process; never used before. */
  readonly owner: string;
  /** Who is not heard of for so long is taken for dead, ms. */
  readonly ttlMs: number;
  readonly health: SharingHealth;
}

/** Renewals in the time that a lease lasts. */
const RENEWALS = 5;

export const leases = (options: LeaseOptions): Sharing => ({
  share: (hold, stop) => new Leases(options, hold, stop).run(),
});

class Leases {
  readonly #options: LeaseOptions;
  readonly #stop: AbortSignal;
  readonly #holdings: Holdings<string>;
  readonly #lineages = new Map<string, Lineage>();
  #wake = new AbortController();
  #heardAt: number;

  constructor(options: LeaseOptions, hold: Parameters<Sharing['share']>[0], stop: AbortSignal) {
    this.#options = options;
    this.#stop = stop;
    this.#heardAt = options.clock.now();
    const held = (id: string, giveUp: AbortSignal): Promise<void> => {
      const lineage = this.#lineages.get(id);
      return lineage === undefined ? Promise.resolve() : hold(lineage, giveUp);
    };
    this.#holdings = new Holdings(held, () => this.#wake.abort());
  }

  async run(): Promise<void> {
    const { clock, ttlMs } = this.#options;
    try {
      while (!this.#isOver) {
        await this.#step();
        await clock.sleep(ttlMs / RENEWALS, AbortSignal.any([this.#stop, this.#wake.signal]));
      }
    } finally {
      await this.#leave();
    }
    if (this.#holdings.failure !== undefined) throw this.#holdings.failure;
  }

  async #leave(): Promise<void> {
    const { pool, owner } = this.#options;
    await this.#holdings.drain();
    // What it held is drained: where this fails, it is taken for dead after a while, and nothing is at stake.
    await leave(pool, owner).catch(() => undefined);
  }

  get #isOver(): boolean {
    return this.#stop.aborted || this.#holdings.failure !== undefined;
  }

  /** Who has not reached the database for as long as a lease lasts holds none any more. */
  async #step(): Promise<void> {
    const { clock, ttlMs, health } = this.#options;
    this.#wake = new AbortController();
    try {
      this.#holdings.assign(await this.#renew());
      this.#heardAt = clock.now();
      health.settled();
    } catch (error) {
      if (kindOf(error) !== 'transient') throw error;
      health.troubled(error);
      if (Math.abs(clock.now() - this.#heardAt) >= ttlMs) this.#holdings.assign([]);
    }
  }

  /** One transaction: what this process holds from now on. What has drained is let go of, what is free is taken. */
  async #renew(): Promise<readonly string[]> {
    const { pool, owner, ttlMs } = this.#options;
    for (const lineage of await this.#options.lineages()) this.#lineages.set(lineage.id, lineage);
    const all = [...this.#lineages.keys()];
    const { held } = this.#holdings;
    return inTransaction(pool, 'share the lineages', async (client) => {
      const quota = await quotaOf(client, owner, all.length, ttlMs);
      const mine = await renewed(client, owner, ttlMs);
      const kept = mine.filter((id) => this.#lineages.has(id)).slice(0, quota);
      const left = mine.filter((id) => !kept.includes(id) && !held.includes(id));
      await run(client, 'let leases go', 'DELETE FROM lineage_leases WHERE owner = $1 AND lineage = ANY($2)', [owner, left]);
      return [...kept, ...(await claimed(client, owner, all, quota - kept.length, ttlMs))];
    });
  }
}

interface Named {
  readonly name: string;
  readonly [column: string]: unknown;
}
const namesOf = (rows: readonly Named[]): string[] => rows.map(({ name }) => name);

/** How many lineages are this member's: within one of every other's, and the same whoever counts. */
async function quotaOf(on: Queryable, member: string, lineages: number, ttlMs: number): Promise<number> {
  const join = `INSERT INTO lease_members (member, until) VALUES ($1, now() + $2 * interval '1 ms')
    ON CONFLICT (member) DO UPDATE SET until = excluded.until`;
  await run(on, 'join the readers', join, [member, ttlMs]);
  await run(on, 'forget who is gone', `DELETE FROM lease_members WHERE until < now()`);
  const members = namesOf(
    await run<Named>(on, 'list the readers', 'SELECT member AS name FROM lease_members ORDER BY member'),
  );
  const extra = members.indexOf(member) < lineages % members.length ? 1 : 0;
  return Math.floor(lineages / members.length) + extra;
}

/** The leases that are still this owner's. One that ran out, and that nobody took, is. */
async function renewed(on: Queryable, owner: string, ttlMs: number): Promise<string[]> {
  const text = `UPDATE lineage_leases SET until = now() + $2 * interval '1 ms' WHERE owner = $1 RETURNING lineage AS name`;
  return namesOf(await run<Named>(on, 'renew leases', text, [owner, ttlMs])).sort();
}

/** Up to `count` of those that are free or ran out. Of several that want one, one gets it. */
async function claimed(
  on: Queryable,
  owner: string,
  all: readonly string[],
  count: number,
  ttlMs: number,
): Promise<string[]> {
  if (count <= 0) return [];
  const text = `INSERT INTO lineage_leases AS l (lineage, owner, until)
    SELECT id, $1, now() + $2 * interval '1 ms' FROM unnest($3::text[]) AS id
      WHERE NOT EXISTS (SELECT FROM lineage_leases o WHERE o.lineage = id AND o.until >= now()) ORDER BY id LIMIT $4
    ON CONFLICT (lineage) DO UPDATE SET owner = excluded.owner, until = excluded.until WHERE l.until < now()
    RETURNING lineage AS name`;
  return namesOf(await run<Named>(on, 'take leases', text, [owner, ttlMs, all, count]));
}

async function leave(pool: Pool, owner: string): Promise<void> {
  await run(pool, 'let all leases go', 'DELETE FROM lineage_leases WHERE owner = $1', [owner]);
  await run(pool, 'leave the readers', 'DELETE FROM lease_members WHERE member = $1', [owner]);
}
