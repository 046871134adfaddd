/** The real program, killed at named points; then nothing is lost, nothing is counted twice, and the archive's bytes are a function of the log. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openStores, type Stores } from '../../src/cli/stores.ts';
import { settingsOf } from '../../src/cli/product.ts';
import { systemClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config.ts';
import { implicitMeters } from '../../src/domain/meter.ts';
import { openEmbedded } from '../../src/embedded/pglite.ts';
import { fileArchive } from '../../src/sinks/archive/files.ts';
import { postgresCatalog } from '../../src/sinks/postgres/catalog.ts';
import { migrate } from '../../src/sinks/postgres/migrate.ts';
import { openPool } from '../../src/sinks/postgres/pool.ts';
import { archiving, type Ports, work } from '../../src/topology.ts';
import { silentFacts } from '../support/silent-facts.ts';
import { type Point, Victim } from '../support/victim.ts';

const DEADLINE_MS = 30_000;

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + DEADLINE_MS; !(await isSo());) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const event = (n: number) => ({
  tenant_id: `t${String(n % 7)}`,
  event_type: 'calls',
  quantity: '0.5',
  idempotency_key: `k${String(n)}`,
  event_timestamp: new Date().toISOString(),
});

interface Report {
  readonly ok: boolean;
  readonly merged: number;
  readonly archived: number;
}
interface Usage {
  readonly rows: readonly { readonly value: string; readonly count: number }[];
}

async function total(victim: Victim): Promise<readonly [string, number]> {
  const day = (n: number): string => new Date((Math.floor(Date.now() / 86_400_000) + n) * 86_400_000).toISOString();
  const { rows } = await victim.get<Usage>(`/v1/meters/calls/query?from=${day(-1)}&to=${day(2)}`);
  return [rows[0]?.value ?? '0', rows[0]?.count ?? 0];
}

/** Seals the log of a data directory again, with a catalog and an archive of their own, and compares every object. */
async function sealAgain(dataDir: string): Promise<number> {
  const config = parseConfig({ flags: { dataDir } });
  const meters = implicitMeters();
  const stores = await openStores(config, meters, systemClock, 'test');
  const database = await openEmbedded({ maxConnections: 4 });
  const pool = openPool(database.connection, { max: 1 });
  const root = await mkdtemp(join(tmpdir(), 'meterfold-again-'));
  const stop = new AbortController();
  try {
    await migrate(pool);
    const again = { catalog: postgresCatalog(pool, { firstFormat: 1 }), archive: fileArchive(root) };
    const ports: Ports = {
      ...stores,
      ...again,
      clock: systemClock,
      facts: silentFacts(),
      random: Math.random,
      unique: randomUUID,
    };
    const settings = settingsOf(config, meters);
    const sealing = work(ports, settings, archiving(ports, settings), stop.signal);
    const heads = await stores.catalog.heads();
    await until('sealed again', async () => {
      const now = new Map((await again.catalog.heads()).map((head) => [head.lineage, head.start]));
      return heads.every((head) => (now.get(head.lineage) ?? '') >= head.start);
    });
    stop.abort();
    await sealing;
    return await compareArchives(stores, again.archive);
  } finally {
    stop.abort();
    await pool.end();
    await database.close();
    await stores.close();
    await rm(root, { recursive: true });
  }
}

async function compareArchives({ archive }: Stores, again: Stores['archive']): Promise<number> {
  let objects = 0;
  for await (const key of archive.list('')) {
    expect(Buffer.from(await again.get(key)).equals(Buffer.from(await archive.get(key)))).toBe(true);
    objects += 1;
  }
  return objects;
}

describe('killed', () => {
  const points: [Point, number][] = [
    ['before-reply', 4],
    ['after-apply', 60],
    ['after-put', 2],
    ['after-seal', 3],
    ['inside-publish', 2],
    ['after-publish', 3],
  ];
  test.each(points)(
    '%s: every event counts once, verify finds nothing, sealing again gives the same bytes',
    async (point, count) => {
      const dataDir = await mkdtemp(join(tmpdir(), 'meterfold-kill-'));
      let sent = 0;
      const batch = (): object[] => Array.from({ length: 50 }, () => event((sent += 1)));
      const unanswered: object[][] = [];
      let victim = await Victim.start(dataDir, point, count);
      while (!victim.isDead && sent < 20_000) {
        const events = batch();
        if (!(await victim.send(events))) unanswered.push(events);
      }
      await victim.died();
      victim = await Victim.start(dataDir);
      // What got no answer is sent again, and some of what did: as clients do.
      for (const events of [...unanswered, batch()]) expect(await victim.send(events)).toBe(true);
      const tail = Array.from({ length: 20 }, (_, n) => event(sent - n));
      expect(await victim.send(tail)).toBe(true);
      await until('all counted', async () => (await total(victim))[1] >= sent);
      expect(await total(victim)).toEqual([String(sent / 2), sent]);
      expect(await victim.get<Report>('/v1/verify', 'POST')).toMatchObject({ ok: true, merged: sent });
      await until('all published', async () => (await victim.get<Report>('/v1/verify', 'POST')).archived === sent);
      await victim.kill('SIGTERM');
      expect(await sealAgain(dataDir)).toBeGreaterThan(0);
      await rm(dataDir, { recursive: true });
    },
  );
});
