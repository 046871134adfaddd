/** The log of an installation: PostgreSQL, Kafka, or what a module of the user opens (setting `logModule`). */
import type { Pool } from 'pg';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Catalog, Source } from '../contract.ts';
import { MeterError } from '../errors.ts';
import type { LogModule, OpenedLog } from '../log-module.ts';
import { openPostgresLog } from '../sources/postgres.ts';
import { badModule, importModule } from './modules.ts';
import { openKafka } from './open-ports.ts';

export interface LogPorts {
  readonly config: Config;
  readonly clock: Clock;
  readonly pool: Pool;
}

const METHODS = ['lineages', 'open', 'after', 'bounds', 'trim', 'append', 'control', 'close'] as const;

/** Throws BAD_CONFIG for a module that has no log, and what opening one throws. */
export async function openConfiguredLog(options: LogPorts): Promise<OpenedLog> {
  const { config, clock, pool } = options;
  const { logModule: name, partitions } = config;
  if (config.kafkaBrokers !== undefined) return openKafka(options, config.kafkaBrokers);
  if (name === undefined) return openPostgresLog({ pool, partitions, clock });
  const { openLog } = await importModule('logModule', name);
  if (typeof openLog !== 'function') throw badModule('logModule', name, 'it exports no function `openLog`');
  const log = (await (openLog as LogModule['openLog'])(options)) as OpenedLog | undefined;
  const missing = METHODS.filter((method) => typeof log?.[method] !== 'function');
  if (log === undefined || missing.length > 0) throw badModule('logModule', name, `its log has no ${missing.join(', ')}`);
  return log;
}

/** A log that lacks a lineage which was read before is another log: its tail would be forgotten without a word. */
export async function demandSameLog(log: Pick<Source, 'name' | 'lineages'>, catalog: Pick<Catalog, 'heads'>): Promise<void> {
  const known = new Set((await log.lineages()).map(({ id }) => id));
  const gone = (await catalog.heads()).find(({ lineage, ended }) => !ended && !known.has(lineage));
  if (gone === undefined) return;
  throw new MeterError(
    'INSTALLATION_DIFFERS',
    `open the log: ${log.name} has not the lineage ${gone.lineage}, which was read`,
    {
      field: 'logModule',
      allowed: 'the log of the last start, or another data directory',
    },
  );
}
