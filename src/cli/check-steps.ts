/** What `meterfold config --check` looks at, server by server. Nothing of the installation is written. */
import { access, constants } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type Clock, systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { DatabaseState } from '../contract.ts';
import { meterSetOf } from '../domain/meter.ts';
import { secretPrint } from '../domain/privacy.ts';
import { firstRules } from '../domain/rules.ts';
import { asError, MeterError } from '../errors.ts';
import { postgresBeats } from '../sinks/postgres/beats.ts';
import { demandLayout, demandServer } from '../sinks/postgres/inspect.ts';
import { compareInstallation } from '../sinks/postgres/installation.ts';
import { openPool } from '../sinks/postgres/pool.ts';
import { demandSecret } from '../sinks/postgres/secret.ts';
import { type RoleName, ROLES } from '../topology.ts';
import { importModule, loadProcessors } from './modules.ts';
import { fixedOf, kafkaOptionsOf, redisOptionsOf, s3OptionsOf } from './open-ports.ts';
import { demandMeasurable, secretOf } from './privacy.ts';
import { demandLoopback, loadDeclared } from './product.ts';
import { demandGiven, NEEDED } from './sharing.ts';

export interface Step {
  readonly check: string;
  /** The setting to look at where the failure names none. */
  readonly field: string;
  /** What was found. Throws what is wrong. */
  run(): Promise<string> | string;
}

/** Steps of one thing, in order: what comes behind a fault cannot be looked at. */
export type Group = AsyncDisposable & { readonly steps: readonly Step[] };

const nothing = (): Promise<void> => Promise.resolve();
const groupOf = (steps: readonly Step[], close = nothing): Group => ({ steps, [Symbol.asyncDispose]: close });

/** Of one role, or of all in one process where none is named. */
export function groupsOf(config: Config, role: RoleName | undefined): readonly Group[] {
  const declares = role === undefined || role === 'scheduler';
  return [
    ...settingGroups(config, role),
    config.databaseUrl === undefined ? directory(config) : database(config, config.databaseUrl),
    log(config, systemClock),
    ...(config.redisUrls === undefined ? [] : [speed(config)]),
    ...(config.s3Bucket === undefined ? [] : [archive(config)]),
    ...(declares && config.metersFile !== undefined ? [meters(config)] : []),
    processors(config),
    privacy(config),
  ];
}

/** Each on its own: all that are missing are told. */
function settingGroups(config: Config, role: RoleName | undefined): Group[] {
  const roles = new Set(role === undefined ? ROLES : [role]);
  const needed = NEEDED.map((field) => ({
    check: `setting: ${field}`,
    field,
    run: () => {
      demandGiven(config, roles, field);
      return 'given';
    },
  }));
  const host = {
    check: 'setting: host',
    field: 'host',
    run: () => {
      demandLoopback(config);
      return config.insecure ? `${config.host}, without API keys (insecure)` : config.host;
    },
  };
  return [...(role === undefined ? [] : needed), host].map((step) => groupOf([step]));
}

function directory({ dataDir }: Config): Group {
  const run = async (): Promise<string> => {
    const path = resolve(dataDir);
    const found = await nearest(path);
    try {
      await access(found, constants.R_OK | constants.W_OK | constants.X_OK);
    } catch (cause) {
      const what = `use the data directory ${path}: ${found} may not be written`;
      throw new MeterError('BAD_CONFIG', what, { field: 'dataDir', allowed: 'a directory of this user', cause });
    }
    return found === path ? `${path} is there` : `${path}: the first start makes it`;
  };
  return groupOf([{ check: 'data directory', field: 'dataDir', run }]);
}

/** The directory, or what is there of the way to it. */
async function nearest(path: string): Promise<string> {
  try {
    await access(path);
    return path;
  } catch {
    return dirname(path) === path ? path : nearest(dirname(path));
  }
}

function database(config: Config, connectionString: string): Group {
  const pool = openPool({ connectionString }, { max: 1, connectTimeoutMs: CONNECT_MS, application: 'meterfold check' });
  let isWhole = false;
  const server = async (): Promise<string> => {
    try {
      return await demandServer(pool);
    } catch (error) {
      throw refusedBy(error);
    }
  };
  const layout = async (): Promise<string> => {
    const found = await demandLayout(pool);
    ({ isWhole } = found);
    return found.told;
  };
  const installation = async (): Promise<string> => {
    if (!isWhole || !(await compareInstallation(pool, fixedOf(config)))) return 'nothing is recorded yet';
    const secret = await secretOf(config);
    await demandSecret(pool, secret && secretPrint(secret));
    return 'the same as at the first start';
  };
  const steps = [
    { check: 'database: server', field: 'databaseUrl', run: server },
    { check: 'database: layout and rights', field: 'databaseUrl', run: layout },
    { check: 'database: what is fixed', field: 'partitions', run: installation },
  ];
  return groupOf(steps, () => pool.end());
}

const CONNECT_MS = 10_000;

function refusedBy(error: unknown): unknown {
  if (error instanceof MeterError && error.detail.allowed !== undefined) return error;
  return new MeterError('BAD_CONFIG', `connect to the database: ${asError(error).message}`, {
    field: 'databaseUrl',
    allowed: 'postgres://user:password@host:port/database, reached from here',
    cause: error,
  });
}

function log(config: Config, clock: Clock): Group {
  const { kafkaBrokers: brokers, logModule: name } = config;
  if (brokers !== undefined) return kafka(config, brokers, clock);
  if (name === undefined) return groupOf([{ check: 'log', field: 'databaseUrl', run: () => 'in the database' }]);
  const run = async (): Promise<string> => {
    const { openLog } = await importModule('logModule', name);
    if (typeof openLog === 'function') return `${name} has an openLog; it was not called`;
    throw new MeterError('BAD_CONFIG', `load ${name}: it exports no function \`openLog\``, { field: 'logModule' });
  };
  return groupOf([{ check: 'log', field: 'logModule', run }]);
}

/** Opened by the first step: what that throws is a fault like any other. */
function opening<T extends AsyncDisposable>(open: () => Promise<T> | T) {
  let opened: T | undefined;
  return {
    first: async (): Promise<T> => (opened ??= await open()),
    close: async () => opened?.[Symbol.asyncDispose](),
  };
}

function kafka(config: Config, brokers: readonly string[], clock: Clock): Group {
  const { first, close } = opening(async () => {
    const { inspectKafka } = await import('../sources/kafka/inspect.ts');
    return inspectKafka(kafkaOptionsOf(config, brokers, clock));
  });
  const steps = [
    { check: 'log: topic', field: 'kafkaBrokers', run: async () => (await first()).topic() },
    { check: 'log: settings of the topic', field: 'kafkaTopic', run: async () => (await first()).settings() },
    { check: 'log: group', field: 'kafkaGroup', run: async () => (await first()).group(config.kafkaGroup) },
  ];
  return groupOf(steps, close);
}

function speed(config: Config): Group {
  const { first, close } = opening(async () => {
    const options = redisOptionsOf(config, await databaseOf(config));
    if (options === undefined) throw new RangeError('no Redis is configured');
    const { inspectRedis } = await import('../sinks/redis/inspect.ts');
    return inspectRedis(options);
  });
  const field = 'redisUrls';
  const steps = [
    { check: 'speed store: servers', field, run: async () => (await first()).servers() },
    { check: 'speed store: buckets', field, run: async () => (await first()).buckets() },
    { check: 'speed store: rights', field, run: async () => (await first()).rights() },
  ];
  return groupOf(steps, close);
}

/** Whose counters they are; undefined where nothing is recorded yet, or cannot be read: the steps of the database say so. */
async function databaseOf({ databaseUrl: connectionString }: Config): Promise<DatabaseState | undefined> {
  if (connectionString === undefined) return undefined;
  const pool = openPool({ connectionString }, { max: 1, connectTimeoutMs: CONNECT_MS, application: 'meterfold check' });
  try {
    return await postgresBeats(pool).last();
  } catch {
    return undefined;
  } finally {
    await pool.end();
  }
}

function archive(config: Config): Group {
  const { first, close } = opening(async () => {
    const options = s3OptionsOf(config);
    if (options === undefined) throw new RangeError('no bucket is configured');
    const { inspectS3 } = await import('../sinks/archive/s3-inspect.ts');
    return inspectS3(options);
  });
  const field = 's3Bucket';
  const steps = [
    { check: 'archive: put and get', field, run: async () => (await first()).objects() },
    { check: 'archive: layout', field: 's3Prefix', run: async () => (await first()).layout() },
    { check: 'archive: list', field, run: async () => (await first()).list() },
  ];
  return groupOf(steps, close);
}

function meters(config: Config): Group {
  const run = async (): Promise<string> => {
    const declared = await loadDeclared(config);
    demandMeasurable(config, firstRules(declared, meterSetOf([])));
    const { meters: declaredMeters = [], schemas = new Map() } = declared;
    return `${String(declaredMeters.length)} meters, ${String(schemas.size)} schemas`;
  };
  return groupOf([{ check: 'meters file', field: 'metersFile', run }]);
}

function processors({ processors: names }: Config): Group {
  const run = async (): Promise<string> => {
    const loaded = await loadProcessors(names, []);
    return loaded.length === 0 ? 'none' : loaded.map(({ name, version }) => `${name} ${String(version)}`).join(', ');
  };
  return groupOf([{ check: 'processors', field: 'processors', run }]);
}

/** With the embedded database a secret is minted at the first start: not here. */
function privacy(config: Config): Group {
  const run = async (): Promise<string> => {
    if (config.databaseUrl !== undefined) await secretOf(config);
    const types = Object.keys(config.privacy ?? {});
    return types.length === 0 ? 'everything is kept' : `rules of ${types.join(', ')}`;
  };
  return groupOf([{ check: 'privacy', field: 'privacySecret', run }]);
}
