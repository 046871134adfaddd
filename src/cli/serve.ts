/** What the HTTP server is given of the stores. */
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Edge } from '../domain/edge.ts';
import type { Dependency, HttpPorts } from '../serving/http/ports.ts';
import { QueryService } from '../serving/query.ts';
import { listEvents, listEventTypes, listTenants } from '../sinks/postgres/events.ts';
import { listRejects } from '../sinks/postgres/rejects.ts';
import { listUsageHourly } from '../sinks/postgres/usage-hourly.ts';
import { type Ports, redriving, type Settings } from '../topology.ts';
import { Rebuilder } from './rebuilder.ts';
import type { Stores } from './stores.ts';
import { verifyStores } from './verify-stores.ts';

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
  readonly edge?: Edge;
  readonly rebuilder: Rebuilder;
  /** Brings home what the outbox holds, where no relay runs beside the server. */
  readonly relay?: () => Promise<void>;
}

export const rebuilderOf = (stores: Stores, ports: Ports, { kept }: Settings): Rebuilder =>
  new Rebuilder({ ...ports, rebuilds: stores.rebuilds, keyRetentionMs: kept.keyRetentionMs });

export function httpPorts(parts: HttpParts): HttpPorts {
  const { config, stores, query, ports, registry, facts, settings, edge, rebuilder, relay } = parts;
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
    ready: () => dependencies(stores, query),
    redrive: async (request) => {
      const redriven = await redriving(ports, settings, request);
      if (!request.dryRun) await relay?.();
      return redriven;
    },
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
