/** Opens what a process works on, by configuration: the data directory with the embedded database, or a PostgreSQL server. */
import type { Pool } from 'pg';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Archive, BatchView, Catalog, Lineage, Tables } from '../contract.ts';
import type { MeterSet } from '../domain/meter.ts';
import { canonicalMeters, differences } from '../domain/meters-file.ts';
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
import { postgresTables } from '../sinks/postgres/tables.ts';
import { openPostgresLog, type PostgresLog } from '../sources/postgres.ts';

export interface Stores {
  readonly pool: Pool;
  readonly log: PostgresLog;
  readonly catalog: Catalog;
  readonly batch: BatchView;
  readonly tables: Tables;
  readonly archive: Archive;
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

/** The tenants as they are recorded at the first start. */
const tenantsText = (tenants: Config['tenants']): string =>
  tenants === 'open' ? 'open' : JSON.stringify([...tenants].sort());

type Closer = () => Promise<void>;

async function closeAll(closers: readonly Closer[]): Promise<void> {
  for (const close of [...closers].reverse()) await close();
}

/** Throws DATA_DIR_LOCKED, DATA_DIR_NEWER, INSTALLATION_DIFFERS, DATABASE_UNAVAILABLE; nothing stays open then. */
export async function openStores(config: Config, meters: MeterSet, clock: Clock, role: string): Promise<Stores> {
  const closers: Closer[] = [];
  try {
    return await openInto(closers, config, meters, clock, role);
  } catch (error) {
    await closeAll(closers);
    throw error;
  }
}

async function openInto(closers: Closer[], config: Config, meters: MeterSet, clock: Clock, role: string): Promise<Stores> {
  await makeDataDir(config.dataDir);
  const lock = await lockDirectory(config.dataDir, role);
  closers.push(() => lock.release());
  const layout = await openDataDir(config.dataDir);
  const pool = await openDatabase(closers, config, layout.databaseDir);
  const { partitions, buckets, epochMs, keyRetentionMs, usageRetentionMonths } = config;
  const texts = { meters: canonicalMeters(meters), tenants: tenantsText(config.tenants) };
  const numbers = { partitions, buckets, epochMs, keyRetentionMs, usageRetentionMonths };
  await recordInstallation(pool, { ...numbers, ...texts }, differences);
  const log = await openPostgresLog({ pool, partitions, clock });
  closers.push(() => log.close());
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

/** The lineages as of the last look: asking is no read of the log. */
export class KnownLineages {
  #lineages: readonly Lineage[] = [];

  async refresh(log: Pick<PostgresLog, 'lineages'>): Promise<void> {
    this.#lineages = await log.lineages();
  }

  get list(): readonly Lineage[] {
    return this.#lineages;
  }
}
