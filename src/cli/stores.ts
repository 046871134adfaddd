/** Opens what a process works on, by configuration: the data directory with the embedded database, or a PostgreSQL server. */
import type { Pool } from 'pg';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Archive, BatchView, Catalog, RuleSets, Tables } from '../contract.ts';
import type { Declared } from '../domain/rules.ts';
import { makeDataDir, openDataDir } from '../embedded/data-dir.ts';
import { lockDirectory } from '../embedded/lock.ts';
import { openEmbedded } from '../embedded/pglite.ts';
import { fileArchive, sweepTemporaries } from '../sinks/archive/files.ts';
import { MemorySpeedStore } from '../sinks/memory/store.ts';
import { postgresBatchView } from '../sinks/postgres/batch-view.ts';
import { postgresCatalog } from '../sinks/postgres/catalog.ts';
import { recordInstallation } from '../sinks/postgres/installation.ts';
import { migrate } from '../sinks/postgres/migrate.ts';
import { openPool } from '../sinks/postgres/pool.ts';
import { declareRules, openRuleSets } from '../sinks/postgres/rule-sets.ts';
import { postgresTables } from '../sinks/postgres/tables.ts';
import { openPostgresLog, type PostgresLog } from '../sources/postgres.ts';

export interface Stores {
  readonly pool: Pool;
  readonly log: PostgresLog;
  readonly catalog: Catalog;
  readonly batch: BatchView;
  readonly tables: Tables;
  readonly archive: Archive;
  readonly ruleSets: RuleSets;
  readonly speed: MemorySpeedStore;
  /** Whether the database runs in this process. */
  readonly embedded: boolean;
  /** Closes everything, the lock last. */
  close(): Promise<void>;
}

/** Connections of one process to a server: a lane each, the publisher, the producer's, and readers. */
const CONNECTIONS = 12;
/**
 * The embedded database has one session, and its socket server hands on the messages of several connections one by one: two
 * statements with parameters would get into each other. One connection, for which callers queue, costs nothing there.
 */
const EMBEDDED_CONNECTIONS = 1;

/** How a process takes part: with what it declares, or undefined where it only reads what is recorded. */
export interface Opening {
  readonly role: string;
  readonly declared: Declared | undefined;
}

type Closer = () => Promise<void>;

async function closeAll(closers: readonly Closer[]): Promise<void> {
  for (const close of [...closers].reverse()) await close();
}

/** Throws DATA_DIR_LOCKED, DATA_DIR_NEWER, INSTALLATION_DIFFERS, DATABASE_UNAVAILABLE; nothing stays open then. */
export async function openStores(config: Config, clock: Clock, opening: Opening): Promise<Stores> {
  const closers: Closer[] = [];
  try {
    return await openInto(closers, config, clock, opening);
  } catch (error) {
    await closeAll(closers);
    throw error;
  }
}

async function openInto(closers: Closer[], config: Config, clock: Clock, { role, declared }: Opening): Promise<Stores> {
  await makeDataDir(config.dataDir);
  const lock = await lockDirectory(config.dataDir, role);
  closers.push(() => lock.release());
  const layout = await openDataDir(config.dataDir);
  const pool = await openDatabase(closers, config, layout.databaseDir);
  const { partitions, buckets, epochMs, keyRetentionMs, usageRetentionMonths } = config;
  await recordInstallation(pool, { partitions, buckets, epochMs, keyRetentionMs, usageRetentionMonths });
  // A reader of a new directory records the first version, too: without one nothing can be said of it.
  await declareRules(pool, declared ?? {}, clock.now());
  const ruleSets = await openRuleSets(pool);
  const log = await openPostgresLog({ pool, partitions, clock });
  closers.push(() => log.close());
  // Before anything else is written: no record of this process comes before the rules that it was made by.
  if (declared !== undefined && ruleSets.newest.version > 1)
    await log.control({ type: 'rules', rules: ruleSets.newest.version });
  await sweepTemporaries(layout.archiveDir);
  const archive = fileArchive(layout.archiveDir);
  const speed = new MemorySpeedStore(buckets);
  const embedded = config.databaseUrl === undefined;
  const stores = {
    embedded,
    pool,
    log,
    archive,
    speed,
    ruleSets,
    catalog: postgresCatalog(pool, { firstFormat: config.archiveFormat }),
    batch: postgresBatchView(pool),
    tables: postgresTables(pool, { embedded }),
  };
  return { ...stores, close: () => closeAll(closers) };
}

async function openDatabase(closers: Closer[], config: Config, databaseDir: string): Promise<Pool> {
  let connection: { readonly connectionString: string } | Awaited<ReturnType<typeof openEmbedded>>['connection'];
  if (config.databaseUrl === undefined) {
    const database = await openEmbedded({ dataDir: databaseDir, maxConnections: EMBEDDED_CONNECTIONS + 1 });
    closers.push(() => database.close());
    connection = database.connection;
  } else {
    connection = { connectionString: config.databaseUrl };
  }
  const max = config.databaseUrl === undefined ? EMBEDDED_CONNECTIONS : CONNECTIONS;
  const pool = openPool(connection, { max });
  closers.push(() => pool.end());
  await migrate(pool);
  return pool;
}
