/** The database that the build packs for a first start: what a user's first start unpacks. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CLUSTER as besideSources, layCluster } from '../../src/embedded/cluster.ts';
import { openEmbedded } from '../../src/embedded/pglite.ts';
import { layoutSteps } from '../../src/sinks/postgres/migrate.ts';
import { openPool } from '../../src/sinks/postgres/pool.ts';

const PACKED = besideSources.replace('/src/', '/dist/');

test('the packed database has the layout of this version, and nothing in it that would be the same everywhere', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'meterfold-packed-'));
  const dataDir = join(dir, 'pg');
  expect(await layCluster(dataDir, PACKED)).toBe(true);
  const database = await openEmbedded({ dataDir });
  const pool = openPool(database.connection, { max: 1 });
  try {
    expect((await layoutSteps(pool)).missing).toEqual([]);
    const { rows } = await pool.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname`,
    );
    const filled: string[] = [];
    for (const { name } of rows) if ((await pool.query(`SELECT 1 FROM "${name}" LIMIT 1`)).rowCount !== 0) filled.push(name);
    expect(filled).toEqual(['layout', 'layout_needs']);
    expect(rows.length).toBeGreaterThan(10);
  } finally {
    await pool.end();
    await database.close();
    await rm(dir, { recursive: true, force: true });
  }
});
