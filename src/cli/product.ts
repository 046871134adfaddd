/** A process: some roles, or all of them as in the embedded product, behind one HTTP server. */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { FastifyInstance } from 'fastify';
import type { Clock } from '../clock.ts';
import { type Config, epochMsOf } from '../config.ts';
import type { EdgeProcessor } from '../contract.ts';
import { ARCHIVE_FORMATS } from '../domain/formats.ts';
import { parseMetersFile } from '../domain/meters-file.ts';
import type { Declared } from '../domain/rules.ts';
import { maintain } from '../embedded/maintenance.ts';
import { MeterError } from '../errors.ts';
import { openFacts } from '../observe/facts.ts';
import type { Logger } from '../observe/log.ts';
import { openRegistry } from '../observe/metrics.ts';
import { showRoles } from '../observe/roles.ts';
import { showStandings } from '../observe/standings.ts';
import { runRole } from '../runtime/role.ts';
import type { httpServer as HttpServer } from '../serving/http/server.ts';
import type { QueryService } from '../serving/query.ts';
import { shapeIndexes } from '../sinks/postgres/indexes.ts';
import { metering, type Ports, type RoleName, ROLES, runRoles, type Settings } from '../topology.ts';
import { openEdge } from './edge.ts';
import { loadProcessors } from './modules.ts';
import { demandSharing, sharingOf } from './sharing.ts';
import { httpPorts, knownOf, queryService, rebuilderOf } from './serve.ts';
import { openStores, type Stores } from './stores.ts';

export interface Product {
  readonly url: string;
  /** The routes, for callers in this process. */
  readonly app: FastifyInstance;
  readonly stores: Stores;
  /** Rejects when a role fails for good; the product is then to be closed. */
  readonly failed: Promise<never>;
  /**
   * Resolves once answers are served, where this process serves any: every lineage has a fence in every bucket. Each answer's
   * proof says how far it reaches.
   */
  ready(): Promise<void>;
  /** Takes no more, finishes what is under way within the deadline, closes everything. */
  close(): Promise<void>;
}

export interface ProductPorts {
  /** What this process is for; all of it where nothing is said. */
  readonly roles?: ReadonlySet<RoleName>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  /** Behind those of the settings. */
  readonly processors?: readonly EdgeProcessor[];
  /** False: nothing listens; only callers in this process are served. */
  readonly listens?: boolean;
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

const FOR_EVER_MS = Number.MAX_SAFE_INTEGER;

export const settingsOf = (config: Config): Settings => ({
  kept: config,
  formats: ARCHIVE_FORMATS,
  buckets: config.buckets,
  epochMs: epochMsOf(config),
  tickMs: config.tickMs,
  maxUnsettled: config.maxUnsettled,
  gcGraceMs: config.gcGraceMs,
  // A topic has a retention of its own, and other readers.
  logRetentionMs: config.kafkaBrokers === undefined ? config.logRetentionMs : FOR_EVER_MS,
  eventRowRetentionMs: config.eventRowRetentionMs,
});

const EVERY: ReadonlySet<RoleName> = new Set(ROLES);
const isShared = (roles: ReadonlySet<RoleName>): boolean => roles.size < EVERY.size;

/** Of several processes the scheduler declares what its files say: others may still be started with older ones. */
async function openShaped(config: Config, clock: Clock, roles: ReadonlySet<RoleName>): Promise<Stores> {
  const declares = roles.has('scheduler');
  const role = isShared(roles) ? [...roles].join('+') : 'dev';
  const declared = declares ? await loadDeclared(config) : undefined;
  const stores = await openStores(config, clock, { role, declared, isShared: isShared(roles) });
  try {
    if (declares) await shapeIndexes(stores.pool, config);
    return stores;
  } catch (error) {
    await stores.close();
    throw error;
  }
}

const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '::1', 'localhost']);

/** Throws BAD_CONFIG. */
export function demandLoopback({ host, insecure }: Config): void {
  if (insecure || LOOPBACK.has(host)) return;
  throw new MeterError('BAD_CONFIG', `listen on ${host}: without API keys only loopback addresses are served`, {
    field: 'host',
    value: host,
    allowed: '127.0.0.1, ::1 or localhost, or --insecure',
  });
}

/** Opens the stores, starts every role, listens. Nothing stays open when it throws. */
export async function startProduct(config: Config, given: ProductPorts): Promise<Product> {
  const { roles = EVERY } = given;
  demandLoopback(config);
  if (isShared(roles)) demandSharing(config, roles);
  const processors = await loadProcessors(config.processors, given.processors ?? []);
  const { lend = (own: Stores): Stores => own } = given;
  // Loaded while the database starts in its thread.
  const [stores, { httpServer }] = await Promise.all([
    openShaped(config, given.clock, roles).then(lend),
    import('../serving/http/server.ts'),
  ]);
  try {
    return await startWith({ config, given, roles, processors, stores, httpServer });
  } catch (error) {
    await stores.close();
    throw error;
  }
}

interface Parts {
  readonly config: Config;
  readonly given: ProductPorts;
  readonly roles: ReadonlySet<RoleName>;
  readonly processors: readonly EdgeProcessor[];
  readonly stores: Stores;
  readonly httpServer: typeof HttpServer;
}

async function startWith({ config, given, roles, processors, stores, httpServer }: Parts): Promise<Product> {
  const { clock, random, log, listens = true } = given;
  const registry = openRegistry({ process: true });
  const facts = openFacts({ registry, logger: log });
  const ports: Ports = { ...stores, clock, facts, random, unique: randomUUID };
  const settings = settingsOf(config);
  const stop = new AbortController();
  const edge = roles.has('ingest') ? await openEdge(config, { stores, facts, processors }) : undefined;
  const known = await knownOf(config, stores);
  const query = queryService(config, stores, clock, known);
  const rebuilder = rebuilderOf(stores, ports, settings);
  showStandings(registry, stores.log);
  showRoles(registry, roles);
  const beside = { gaps: known.gaps, roles, edge, rebuilder };
  const http = httpPorts({ config, stores, query, ports, registry, facts, settings, ...beside });
  const serves = SERVING.filter((role) => roles.has(role));
  const app = httpServer(http, serves);
  if (listens) await listen(app, config);
  const ready = roles.has('api') ? untilStarted(query, clock, stop.signal) : Promise.resolve();
  const started = Promise.race([ready, clock.sleep(FOLD_AFTER_MS, stop.signal)]).catch(() => undefined);
  const sharing = isShared(roles) ? sharingOf(config, stores, ports) : undefined;
  const others = [...(roles.has('api') ? known.roles : []), ...(stores.embedded ? [maintain(stores.pool)] : [])];
  const running = Promise.all([
    runRoles(ports, settings, { roles, wiring: metering, sharing, started }, stop.signal),
    ...others.map((role) => runRole({ clock, facts, random }, role, stop.signal)),
  ]);
  const failed = running.then(() => new Promise<never>(() => undefined));
  return {
    url: urlOf(app, config),
    app,
    stores,
    failed,
    ready: () => ready,
    close: () => close(app, stop, () => Promise.all([running, rebuilder.stop()]), stores, config, clock),
  };
}

/** Roles that serve more than their health. */
const SERVING = ['ingest', 'api'] as const;

async function listen(app: FastifyInstance, { host, port }: Config): Promise<void> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    throw new MeterError('BAD_CONFIG', `listen on ${host}:${port}: ${String(error)}`, {
      field: 'port',
      value: String(port),
      cause: error,
    });
  }
}

/** So long the lanes have the database to themselves at most, ms: a lane may wait for what the others do. */
const FOLD_AFTER_MS = 5000;
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
  over: () => Promise<unknown>,
  stores: Stores,
  { drainMs }: Config,
  clock: Clock,
): Promise<void> {
  const deadline = new AbortController();
  const late = clock.sleep(drainMs, deadline.signal);
  await Promise.race([app.close(), late]);
  stop.abort();
  await Promise.race([over().catch(() => undefined), late]);
  deadline.abort();
  await stores.close();
}
