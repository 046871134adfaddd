/** The embedded product: every role in one process, behind one HTTP server. */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { FastifyInstance } from 'fastify';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { ARCHIVE_FORMATS } from '../domain/formats.ts';
import { parseMetersFile } from '../domain/meters-file.ts';
import type { Declared } from '../domain/rules.ts';
import { maintain } from '../embedded/maintenance.ts';
import { MeterError } from '../errors.ts';
import { openFacts } from '../observe/facts.ts';
import type { Logger } from '../observe/log.ts';
import { openRegistry } from '../observe/metrics.ts';
import { runRole } from '../runtime/role.ts';
import { type Dependency, type HttpPorts } from '../serving/http/ports.ts';
import { httpServer } from '../serving/http/server.ts';
import { QueryService } from '../serving/query.ts';
import { listEvents, listEventTypes, listTenants } from '../sinks/postgres/events.ts';
import { shapeIndexes } from '../sinks/postgres/indexes.ts';
import { listRejects } from '../sinks/postgres/rejects.ts';
import { listUsageHourly } from '../sinks/postgres/usage-hourly.ts';
import { metering, type Ports, runAll, type Settings } from '../topology.ts';
import { openStores, type Stores } from './stores.ts';
import { verifyStores } from './verify-stores.ts';

export interface Product {
  readonly url: string;
  readonly stores: Stores;
  /** Rejects when a role fails for good; the product is then to be closed. */
  readonly failed: Promise<never>;
  /** Resolves once answers are served: every lineage has a fence in every bucket. Each answer's proof says how far it reaches. */
  ready(): Promise<void>;
  /** Takes no more, finishes what is under way within the deadline, closes everything. */
  close(): Promise<void>;
}

export interface ProductPorts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  /** Stores as the roles are given them: for tests that let a process die at a named point. */
  readonly lend?: (stores: Stores) => Stores;
}

/** What the configuration declares: the meters file, tenants. Throws BAD_METERS. */
export async function loadDeclared({ metersFile: path, tenants, maxGroups }: Config): Promise<Declared> {
  const others = { tenants: tenants === undefined || tenants === 'open' ? tenants : new Set(tenants), maxGroups };
  if (path === undefined) return others;
  try {
    return { ...others, ...parseMetersFile(await readFile(path, 'utf8')) };
  } catch (error) {
    if (error instanceof MeterError) throw error;
    throw new MeterError('BAD_METERS', `read the meters file ${path}: it cannot be read`, {
      field: 'metersFile',
      value: path,
      cause: error,
    });
  }
}

export const settingsOf = (config: Config): Settings => ({
  kept: config,
  formats: ARCHIVE_FORMATS,
  buckets: config.buckets,
  epochMs: config.epochMs,
  tickMs: config.tickMs,
  maxUnsettled: config.maxUnsettled,
  gcGraceMs: config.gcGraceMs,
  logRetentionMs: config.logRetentionMs,
  eventRowRetentionMs: config.eventRowRetentionMs,
});

async function openShaped(config: Config, clock: Clock): Promise<Stores> {
  const stores = await openStores(config, clock, { role: 'dev', declared: await loadDeclared(config) });
  try {
    await shapeIndexes(stores.pool, config);
    return stores;
  } catch (error) {
    await stores.close();
    throw error;
  }
}

const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '::1', 'localhost']);

function demandLoopback({ host, insecure }: Config): void {
  if (insecure || LOOPBACK.has(host)) return;
  throw new MeterError('BAD_CONFIG', `listen on ${host}: without API keys only loopback addresses are served`, {
    field: 'host',
    value: host,
    allowed: '127.0.0.1, ::1 or localhost, or --insecure',
  });
}

/** Opens the stores, starts every role, listens. Nothing stays open when it throws. */
export async function startProduct(
  config: Config,
  { clock, random, log, lend = (own) => own }: ProductPorts,
): Promise<Product> {
  demandLoopback(config);
  const stores = lend(await openShaped(config, clock));
  const registry = openRegistry({ process: true });
  const facts = openFacts({ registry, logger: log });
  const ports: Ports = { ...stores, clock, facts, random, unique: randomUUID };
  const settings = settingsOf(config);
  const stop = new AbortController();
  const query = await queryService(config, stores, clock);
  const app = httpServer(httpPorts({ config, stores, query, ports, registry, facts, settings }));
  try {
    await app.listen({ host: config.host, port: config.port });
  } catch (error) {
    await stores.close();
    throw new MeterError('BAD_CONFIG', `listen on ${config.host}:${config.port}: ${String(error)}`, {
      field: 'port',
      value: String(config.port),
      cause: error,
    });
  }
  const running = Promise.all([
    runAll(ports, settings, metering, stop.signal),
    ...(stores.embedded ? [runRole({ clock, facts, random }, maintain(stores.pool), stop.signal)] : []),
  ]);
  const failed = running.then(() => new Promise<never>(() => undefined));
  return {
    url: urlOf(app, config),
    stores,
    failed,
    ready: () => untilStarted(query, clock, stop.signal),
    close: () => close(app, stop, running, stores, config, clock),
  };
}

export async function queryService(config: Config, stores: Stores, clock: Clock): Promise<QueryService> {
  // The lineages of this log never change while it is open; asking once is no read of the log by a query.
  const lineages = await stores.log.lineages();
  const { batch, speed, ruleSets } = stores;
  const { buckets, afterTimeoutMs } = config;
  return new QueryService({
    batch,
    speed,
    ruleSets,
    clock,
    buckets,
    afterTimeoutMs,
    lineages: () => lineages,
    trouble: () => undefined,
  });
}

interface HttpParts {
  readonly config: Config;
  readonly stores: Stores;
  readonly query: QueryService;
  readonly ports: Ports;
  readonly registry: HttpPorts['registry'];
  readonly facts: HttpPorts['facts'];
  readonly settings: Settings;
}

export function httpPorts({ config, stores, query, ports, registry, facts, settings }: HttpParts): HttpPorts {
  const { pool, log } = stores;
  const knowsEventType = async (eventType: string): Promise<boolean> => {
    const published = await listEventTypes(pool);
    return published.some((row) => row.eventType === eventType) || (await isLive(stores, settings, eventType));
  };
  return {
    producer: log,
    query,
    ruleSets: stores.ruleSets,
    versions: () => versionsOf(stores),
    log,
    clock: ports.clock,
    facts,
    registry,
    config,
    knowsEventType,
    listEvents: (request) => listEvents(pool, request),
    listUsageHourly: (request) => listUsageHourly(pool, request),
    listRejects: (request) => listRejects(pool, request),
    listTenants: () => listTenants(pool),
    listEventTypes: () => listEventTypes(pool),
    ready: () => dependencies(stores, query),
    verify: () => verifyStores(stores, settings),
  };
}

/** Of each version that is being filled, how many segments are in it. */
async function versionsOf({ batch }: Stores): Promise<ReadonlyMap<string, number>> {
  const filled = await batch.filled();
  return new Map([...filled].map(([meter, lineages]) => [meter, [...lineages.values()].reduce((a, b) => a + b, 0)]));
}

/** An event type that is counted live and not yet published. */
async function isLive({ speed }: Stores, { buckets }: Settings, eventType: string): Promise<boolean> {
  const all = Array.from({ length: buckets }, (_, bucket) => bucket);
  return (await speed.read(all, { meter: `${eventType}@1` })).some(({ cells }) => cells.length > 0);
}

async function dependencies({ pool, speed }: Stores, query: QueryService): Promise<Dependency[]> {
  const check = async (name: string, attempt: () => Promise<unknown>): Promise<Dependency> => {
    try {
      await attempt();
      return { name, ok: true };
    } catch (error) {
      return { name, ok: false, detail: error instanceof Error ? error.message : String(error) };
    }
  };
  return Promise.all([
    check('database', () => pool.query('SELECT 1')),
    check('speed', () => speed.check()),
    check('answers', () => query.demandStarted()),
  ]);
}

/** Between two looks at a product that is starting, ms. */
const LOOK_MS = 10;

async function untilStarted(query: QueryService, clock: Clock, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    try {
      await query.demandStarted();
      return;
    } catch (error) {
      if (!(error instanceof MeterError && error.kind === 'transient')) throw error;
    }
    await clock.sleep(LOOK_MS, stop);
  }
}

function urlOf(app: FastifyInstance, { host }: Config): string {
  const address = app.server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return `http://${host.includes(':') ? `[${host}]` : host}:${String(port)}`;
}

async function close(
  app: FastifyInstance,
  stop: AbortController,
  running: Promise<unknown>,
  stores: Stores,
  { drainMs }: Config,
  clock: Clock,
): Promise<void> {
  const deadline = new AbortController();
  const late = clock.sleep(drainMs, deadline.signal);
  await Promise.race([app.close(), late]);
  stop.abort();
  await Promise.race([running.catch(() => undefined), late]);
  deadline.abort();
  await stores.close();
}
