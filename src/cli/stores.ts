/** Opens what a process works on, by configuration: the data directory with the embedded database, or a PostgreSQL server. */
import type { Pool } from 'pg';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { demandCurrent } from '../batch/beat.ts';
import type { Archive, BatchView, Beats, Catalog, Rebuilds, Rejects, RuleSets, SpeedStore, Tables } from '../contract.ts';
import { meterSetOf } from '../domain/meter.ts';
import { knowingHashes, secretPrint } from '../domain/privacy.ts';
import { type Declared, firstRules } from '../domain/rules.ts';
import type { OpenedLog } from '../log-module.ts';
import { type DataDir, makeDataDir, openDataDir } from '../embedded/data-dir.ts';
import { lockDirectory } from '../embedded/lock.ts';
import { openEmbedded } from '../embedded/pglite.ts';
import { postgresBeats } from '../sinks/postgres/beats.ts';
import { postgresBatchView } from '../sinks/postgres/batch-view.ts';
import { postgresCatalog } from '../sinks/postgres/catalog.ts';
import { recordInstallation } from '../sinks/postgres/installation.ts';
import { migrate } from '../sinks/postgres/migrate.ts';
import { recordSecret } from '../sinks/postgres/secret.ts';
import { openPool } from '../sinks/postgres/pool.ts';
import { postgresRejects } from '../sinks/postgres/redrive.ts';
import { declareRules, openRuleSets } from '../sinks/postgres/rule-sets.ts';
import { demandMeasurable, secretOf } from './privacy.ts';
import { demandSameLog, openConfiguredLog } from './open-log.ts';
import { firstFormat, fixedOf, openArchive, openSpeedStore, poolOptionsOf } from './open-ports.ts';
import { postgresRebuilds } from '../sinks/postgres/rebuilds.ts';
import { postgresTables } from '../sinks/postgres/tables.ts';

export interface Stores {
  /** What privacy rules hash under; undefined with a server and no rule that hashes. */
  readonly secret: Uint8Array | undefined;
  readonly pool: Pool;
  readonly log: OpenedLog;
  readonly catalog: Catalog;
  readonly rejects: Rejects;
  readonly batch: BatchView;
  readonly tables: Tables;
  readonly rebuilds: Rebuilds;
  readonly archive: Archive;
  readonly ruleSets: RuleSets;
  readonly speed: SpeedStore;
  /** Where the live counters are not in this process. */
  readonly beats?: Beats;
  /** Whether the database runs in this process. */
  readonly embedded: boolean;
  /** Closes everything, the lock last. */
  close(): Promise<void>;
}

/**
 * The embedded database has one session, and its socket server hands on the messages of several connections one by one: two
 * statements with parameters would get into each other. One connection, for which callers queue, costs nothing there.
 */
const EMBEDDED_CONNECTIONS = 1;

/** How a process takes part: with what it declares, or undefined where it only reads what is recorded. */
export interface Opening {
  readonly role: string;
  readonly declared: Declared | undefined;
  /** One of several processes that share servers, and no data directory. */
  readonly isShared?: boolean;
}

type Closer = () => Promise<void>;

async function closeAll(closers: readonly Closer[]): Promise<void> {
  for (const close of [...closers].reverse()) await close();
}

/** Throws DATA_DIR_LOCKED, DATA_DIR_NEWER, INSTALLATION_DIFFERS, DATABASE_RESTORED, DATABASE_UNAVAILABLE; nothing stays open then. */
export async function openStores(config: Config, clock: Clock, opening: Opening): Promise<Stores> {
  const closers: Closer[] = [];
  try {
    return await openInto(closers, config, clock, opening);
  } catch (error) {
    await closeAll(closers);
    throw error;
  }
}

async function openInto(closers: Closer[], config: Config, clock: Clock, opening: Opening): Promise<Stores> {
  const { role, declared, isShared = false } = opening;
  // Before anything is recorded.
  if (declared !== undefined) demandMeasurable(config, firstRules(declared, meterSetOf([])));
  const layout = isShared ? NO_DIRECTORY : await ownDirectory(closers, config, role);
  const secret = await secretOf(config);
  const pool = await openDatabase(closers, config, role, layout.databaseDir);
  await recordInstallation(pool, fixedOf(config));
  await recordSecret(pool, secret && secretPrint(secret));
  // A reader of a new directory records the first version, too: without one nothing can be said of it.
  await declareRules(pool, declared ?? {}, clock.now());
  const ruleSets = await openRuleSets(pool, (meters) => knowingHashes(meters, secret));
  if (declared !== undefined) demandMeasurable(config, ruleSets.newest);
  const log = await openConfiguredLog({ config, clock, pool });
  closers.push(() => log.close());
  const catalog = postgresCatalog(pool, { firstFormat: firstFormat(config) });
  await demandSameLog(log, catalog);
  // Before anything else is written: no record of this process comes before the rules that it was made by.
  if (declared !== undefined && ruleSets.newest.version > 1)
    await log.control({ type: 'rules', rules: ruleSets.newest.version });
  const archive = await openArchive(config, layout.archiveDir);
  closers.push(() => archive.close());
  const beats = postgresBeats(pool);
  const speed = await openSpeedStore(config, await beats.last());
  closers.push(() => speed.close());
  const outlives = config.redisUrls !== undefined;
  if (outlives) await demandCurrent({ speed: speed.port, beats });
  const embedded = config.databaseUrl === undefined;
  const stores = {
    embedded,
    secret,
    pool,
    log,
    archive: archive.port,
    speed: speed.port,
    ...(outlives ? { beats } : {}),
    ruleSets,
    catalog,
    rejects: postgresRejects(pool),
    batch: postgresBatchView(pool),
    tables: postgresTables(pool, { embedded }),
    rebuilds: postgresRebuilds(pool, config),
  };
  return { ...stores, close: () => closeAll(closers) };
}

/** A process that shares servers has neither an embedded database nor an archive of files. */
const NO_DIRECTORY: DataDir = { databaseDir: '', archiveDir: '' };

async function ownDirectory(closers: Closer[], { dataDir }: Config, role: string): Promise<DataDir> {
  await makeDataDir(dataDir);
  const lock = await lockDirectory(dataDir, role);
  closers.push(() => lock.release());
  return openDataDir(dataDir);
}

async function openDatabase(closers: Closer[], config: Config, role: string, databaseDir: string): Promise<Pool> {
  const options = poolOptionsOf(config, role);
  let connection: { readonly connectionString: string } | Awaited<ReturnType<typeof openEmbedded>>['connection'];
  if (config.databaseUrl === undefined) {
    const database = await openEmbedded({ dataDir: databaseDir, maxConnections: EMBEDDED_CONNECTIONS + 1 });
    closers.push(() => database.close());
    connection = database.connection;
  } else {
    connection = { connectionString: config.databaseUrl };
  }
  const pool = openPool(connection, config.databaseUrl === undefined ? { max: EMBEDDED_CONNECTIONS } : options);
  closers.push(() => pool.end());
  await migrate(pool);
  return pool;
}
