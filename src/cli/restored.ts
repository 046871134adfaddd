/** `meterfold restored`: the operator says that PostgreSQL was put back to an earlier state. */
import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import { restored } from '../batch/beat.ts';
import type { Config } from '../config.ts';
import type { DatabaseState } from '../contract.ts';
import { MeterError } from '../errors.ts';
import { postgresBeats } from '../sinks/postgres/beats.ts';
import { compareInstallation } from '../sinks/postgres/installation.ts';
import { migrate } from '../sinks/postgres/migrate.ts';
import { openPool, run } from '../sinks/postgres/pool.ts';
import type { JsonFlag } from './checks.ts';
import { fixedOf, openSpeedStore } from './open-ports.ts';
import { json, type Streams } from './output.ts';

interface Done {
  readonly incarnation: string;
  /** Buckets of live counters that were freed. */
  readonly freed: number;
  /** Connections of roles that still run. */
  readonly connections: number;
}

/** Throws BAD_CONFIG, INSTALLATION_DIFFERS, DATABASE_UNAVAILABLE, SPEED_UNAVAILABLE: again, it does what is left to do. */
export async function restoredCommand(config: Config, flags: JsonFlag, streams: Streams): Promise<number> {
  const { databaseUrl: connectionString } = config;
  if (connectionString === undefined)
    throw new MeterError('BAD_CONFIG', 'restored: the embedded database has its live counters in the same process', {
      field: 'databaseUrl',
      allowed: 'a PostgreSQL that was restored; a data directory that was put back as a whole needs nothing',
    });
  const pool = openPool({ connectionString }, { max: 1, application: 'meterfold restored' });
  try {
    const done = await announce(config, pool);
    streams.out(flags.json === true ? json(done) : told(done));
    return 0;
  } finally {
    await pool.end();
  }
}

async function announce(config: Config, pool: Pool): Promise<Done> {
  // A backup may be of before the last upgrade.
  await migrate(pool);
  if (!(await compareInstallation(pool, fixedOf(config))))
    throw new MeterError('BAD_CONFIG', 'restored: there is no installation in this database', {
      field: 'databaseUrl',
      allowed: 'the database that was restored',
    });
  const beats = postgresBeats(pool);
  const before: DatabaseState = await beats.last();
  const speed = await openSpeedStore(config, before);
  try {
    const { port } = speed;
    const freed = await restored({ speed: port, beats, buckets: config.buckets, unique: randomUUID });
    const { incarnation } = await beats.last();
    return { incarnation, freed, connections: await othersOn(pool) };
  } finally {
    await speed.close();
  }
}

/** Of Meterfold in this database, as far as this user may see. */
async function othersOn(pool: Pool): Promise<number> {
  const text = `SELECT count(*)::int AS others FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'meterfold%' AND pid <> pg_backend_pid()`;
  const [row] = await run<{ others: number }>(pool, 'look who is connected', text);
  return row?.others ?? 0;
}

function told({ incarnation, freed, connections }: Done): string {
  const lines = [
    `the database is incarnation ${incarnation} from now on`,
    `live counters of ${String(freed)} buckets are freed; the next start fills them from database, archive and log`,
  ];
  if (connections > 0)
    lines.push(
      `${String(connections)} connections of roles are open: roles that still run stop by themselves, start them anew`,
    );
  return lines.join('\n');
}
