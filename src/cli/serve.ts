/** What the HTTP server is given of the stores. */
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Lineage } from '../contract.ts';
import type { Edge } from '../domain/edge.ts';
import type { Waits } from '../observe/facts.ts';
import type { Role } from '../runtime/role.ts';
import type { Dependency, HttpPorts } from '../serving/http/ports.ts';
import { KnownGaps } from '../serving/gaps.ts';
import { QueryService } from '../serving/query.ts';
import { SpeedReads } from '../serving/speed-reads.ts';
import { listEvents, listEventTypes, listTenants } from '../sinks/postgres/events.ts';
import { listRejects } from '../sinks/postgres/rejects.ts';
import { listUsageHourly } from '../sinks/postgres/usage-hourly.ts';
import { type Ports, redriving, type RoleName, type Settings } from '../topology.ts';
import { Rebuilder } from './rebuilder.ts';
import type { Stores } from './stores.ts';
import { verifyStores } from './verify-stores.ts';

/** What queries know without reading the log: looked up first, then on a timer beside them. */
export interface Known {
  readonly lineages: () => readonly Lineage[];
  readonly gaps: KnownGaps;
  /** To be run beside the queries: partitions are added and gaps acknowledged through any process. */
  readonly roles: readonly Role[];
}
const LOOK_MS = 2000;

export async function knownOf({ pastBoundMs }: Config, { log, catalog }: Stores): Promise<Known> {
  let lineages: readonly Lineage[] = [];
  const gaps = new KnownGaps(catalog, pastBoundMs);
  const roles = [
    { name: 'lineages', everyMs: LOOK_MS, step: async () => void (lineages = await log.lineages()) },
    { name: 'gaps', everyMs: LOOK_MS, step: () => gaps.look() },
  ];
  for (const { step } of roles) await step();
  return { lineages: () => lineages, gaps, roles };
}

export function queryService(config: Config, stores: Stores, clock: Clock, { lineages, gaps }: Known): QueryService {
  const { batch, ruleSets } = stores;
  const { buckets, afterTimeoutMs, speedReadMs: deadlineMs } = config;
  const speed = new SpeedReads(stores.speed, { clock, deadlineMs });
  const known = { lineages, gaps, trouble: () => undefined };
  return new QueryService({ batch, speed, ruleSets, clock, buckets, afterTimeoutMs, ...known });
}

interface HttpParts {
  readonly config: Config;
  readonly stores: Stores;
  readonly query: QueryService;
  readonly gaps: KnownGaps;
  readonly ports: Ports;
  readonly registry: HttpPorts['registry'];
  readonly facts: HttpPorts['facts'] & Waits;
  readonly settings: Settings;
  readonly roles: ReadonlySet<RoleName>;
  readonly edge?: Edge;
  readonly rebuilder: Rebuilder;
  /** Brings home what the outbox holds, where no relay runs beside the server. */
  readonly relay?: () => Promise<void>;
}

export const rebuilderOf = (stores: Stores, ports: Ports, { kept }: Settings): Rebuilder =>
  new Rebuilder({ ...ports, rebuilds: stores.rebuilds, keyRetentionMs: kept.keyRetentionMs });

export function httpPorts(parts: HttpParts): HttpPorts {
  const { config, stores, query, gaps, ports, registry, facts, settings, roles, edge, rebuilder, relay } = parts;
  const { pool, log } = stores;
  const knowsEventType = async (eventType: string): Promise<boolean> => {
    const published = await listEventTypes(pool);
    return published.some((row) => row.eventType === eventType) || (await query.counts(eventType));
  };
  return {
    producer: log,
    query,
    ruleSets: stores.ruleSets,
    versions: () => versionsOf(stores),
    log,
    clock: ports.clock,
    facts,
    edge,
    rebuilder,
    registry,
    config,
    knowsEventType,
    listEvents: (request) => listEvents(pool, request),
    listUsageHourly: (request) => listUsageHourly(pool, request),
    listRejects: (request) => listRejects(pool, request),
    listTenants: () => listTenants(pool),
    listEventTypes: () => listEventTypes(pool),
    ...(log.expand === undefined ? {} : { expand: log.expand.bind(log) }),
    gaps,
    acknowledgeGap: (gap, by) => stores.catalog.acknowledge(gap, by),
    ready: () => dependencies(stores, roles, query, facts),
    redrive: async (request) => {
      const redriven = await redriving(ports, settings, request);
      if (!request.dryRun) await relay?.();
      return redriven;
    },
    ...(roles.has('api') ? { verify: () => verifyStores(stores, settings) } : {}),
  };
}

/** Of each version that is being filled, how many segments are in it. */
async function versionsOf({ batch }: Stores): Promise<ReadonlyMap<string, number>> {
  const filled = await batch.filled();
  return new Map([...filled].map(([meter, lineages]) => [meter, [...lineages.values()].reduce((a, b) => a + b, 0)]));
}

/** Who asks these: a role is not ready without what its work needs. */
const COUNTING: readonly RoleName[] = ['worker', 'scheduler', 'api'];
const LOGGING: readonly RoleName[] = ['ingest', 'worker', 'relay', 'scheduler'];

async function dependencies(
  { pool, speed, log }: Stores,
  roles: ReadonlySet<RoleName>,
  query: QueryService,
  facts: Waits,
): Promise<Dependency[]> {
  const isAny = (some: readonly RoleName[]): boolean => some.some((role) => roles.has(role));
  const checks = [
    checked('database', () => pool.query('SELECT 1')),
    ...(isAny(LOGGING) ? [checked('log', () => log.lineages())] : []),
    ...(isAny(COUNTING) ? [checked('speed', () => speed.check())] : []),
    ...(roles.has('api') ? [checked('answers', () => query.demandStarted())] : []),
  ];
  // Who serves callers serves them also while something behind it waits.
  const waits = isAny(['ingest', 'api'])
    ? []
    : facts.waits().map(({ what, why }) => ({ name: what, ok: false, detail: why }));
  return [...(await Promise.all(checks)), ...waits];
}

async function checked(name: string, attempt: () => Promise<unknown>): Promise<Dependency> {
  try {
    await attempt();
    return { name, ok: true };
  } catch (error) {
    return { name, ok: false, detail: error instanceof Error ? error.message : String(error) };
  }
}
