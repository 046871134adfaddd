// Packs the database of a first start (src/embedded/cluster.ts) into dist, unless what it is made of has not changed.
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from 'tar';
import { CLUSTER } from '../dist/embedded/cluster.js';
import { openEmbedded } from '../dist/embedded/pglite.js';
import { migrate } from '../dist/sinks/postgres/migrate.js';
import { openPool } from '../dist/sinks/postgres/pool.js';

const MIGRATIONS = 'dist/sinks/postgres/migrations';
const note = `${CLUSTER}.made-of`;

/** PGlite by its version, its start by its module, the layout by its texts. */
function madeOf() {
  const { version } = JSON.parse(readFileSync('node_modules/@electric-sql/pglite/package.json', 'utf8'));
  const hash = createHash('sha256').update(version);
  const steps = readdirSync(MIGRATIONS).sort();
  for (const file of ['dist/embedded/pglite-worker.mjs', ...steps.map((step) => join(MIGRATIONS, step))]) {
    hash.update(`\0${file}\0`).update(readFileSync(file));
  }
  return hash.digest('hex');
}

async function pack(scratch) {
  const dataDir = join(scratch, 'pg');
  const database = await openEmbedded({ dataDir, prepared: false });
  const pool = openPool(database.connection, { max: 1 });
  await migrate(pool);
  await pool.end();
  await database.close();
  await create({ gzip: true, file: `${CLUSTER}.tmp`, cwd: dataDir, portable: true }, readdirSync(dataDir));
  renameSync(`${CLUSTER}.tmp`, CLUSTER);
}

const now = madeOf();
if (!existsSync(CLUSTER) || !existsSync(note) || readFileSync(note, 'utf8') !== now) {
  const scratch = mkdtempSync(join(tmpdir(), 'meterfold-cluster-'));
  try {
    await pack(scratch);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  writeFileSync(note, now);
}
