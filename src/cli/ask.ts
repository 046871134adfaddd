/** Who answers a command: a running server, or the data directory itself, read by this process. */
import { randomUUID } from 'node:crypto';
import { systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { END, type Source } from '../contract.ts';
import { MeterError } from '../errors.ts';
import { openFacts } from '../observe/facts.ts';
import { openLog } from '../observe/log.ts';
import { openRegistry } from '../observe/metrics.ts';
import { httpServer } from '../serving/http/server.ts';
import { counting, type Ports, relaying, ROLES, work } from '../topology.ts';
import { Client } from './client.ts';
import { settingsOf } from './product.ts';
import { httpPorts, knownOf, queryService, rebuilderOf } from './serve.ts';
import { openStores, type Stores } from './stores.ts';

export interface Asker {
  get<T>(path: string): Promise<T>;
  /** `body` is sent as JSON. */
  post<T>(path: string, body?: object): Promise<T>;
  delete<T>(path: string): Promise<T>;
}

export type Ask = <T>(work: (asker: Asker) => Promise<T>) => Promise<T>;

const JSON_TYPE = { 'content-type': 'application/json' };

/** With `--url` a server, else the data directory, for as long as `work` runs. */
export function askOf(config: Config, url: string | undefined): Ask {
  if (url === undefined) return (use) => withDirectory(config, use);
  const client = new Client(url);
  const by =
    (method: string) =>
    <T>(path: string, body?: object): Promise<T> =>
      client.json<T>(path, { method, ...(body === undefined ? {} : { headers: JSON_TYPE, body: JSON.stringify(body) }) });
  return (use) => use({ get: by('GET'), post: by('POST'), delete: by('DELETE') });
}

/**
 * Takes the lock, fills the live counters from the log's tail and answers by the server's own routes, without listening.
 * Nothing is sealed or published, and nothing is written but by a rebuild and a redrive: what that sends home is relayed at
 * once, and counted by the next start.
 */
async function withDirectory<T>(config: Config, use: (asker: Asker) => Promise<T>): Promise<T> {
  const settings = settingsOf(config);
  const stores = await openStores(config, systemClock, { role: 'reader', declared: undefined });
  const registry = openRegistry();
  const level = config.logLevel === 'info' ? 'warn' : config.logLevel;
  const facts = openFacts({ registry, logger: openLog({ level }) });
  const ports: Ports = { ...stores, clock: systemClock, facts, random: Math.random, unique: randomUUID };
  const stop = new AbortController();
  const rebuilder = rebuilderOf(stores, ports, settings);
  const running = work(ports, settings, counting(ports, settings), stop.signal);
  try {
    await Promise.race([filled(stores, config.buckets), running.then(() => new Promise<never>(() => undefined))]);
    const known = await knownOf(config, stores);
    const query = queryService(config, stores, systemClock, known);
    const relay = (): Promise<void> => relaying(ports).step(stop.signal);
    const open = { ...config, insecure: true };
    const beside = { gaps: known.gaps, roles: new Set(ROLES), rebuilder, relay };
    const app = httpServer(httpPorts({ config: open, stores, query, ports, registry, facts, settings, ...beside }));
    const by =
      (method: 'GET' | 'POST' | 'DELETE') =>
      async <R>(url: string, body?: object): Promise<R> => {
        const payload = body === undefined ? {} : { headers: JSON_TYPE, payload: JSON.stringify(body) };
        return answerOf(await app.inject({ method, url, ...payload })) as R;
      };
    return await use({ get: by('GET'), post: by('POST'), delete: by('DELETE') });
  } finally {
    stop.abort();
    await rebuilder.stop();
    await running.catch(() => undefined);
    await stores.close();
  }
}

function answerOf(response: { readonly statusCode: number; readonly payload: string }): unknown {
  const body = JSON.parse(response.payload) as Readonly<Record<string, string>>;
  if (response.statusCode < 400) return body;
  const { detail = '', field, value, allowed } = body;
  throw new MeterError(
    response.statusCode >= 500 ? 'OVERLOADED' : response.statusCode === 404 ? 'NOT_FOUND' : 'BAD_REQUEST',
    detail,
    {
      ...(field === undefined ? {} : { field }),
      ...(value === undefined ? {} : { value }),
      ...(allowed === undefined ? {} : { allowed }),
    },
  );
}

/** Between two looks at counters that are being filled, ms. */
const LOOK_MS = 5;

/** Resolves once every fence has reached the end that the log has now. */
async function filled({ log, speed }: Stores, buckets: number): Promise<void> {
  const ends = await endsOf(log);
  for (;;) {
    const states = await speed.read(
      Array.from({ length: buckets }, (_, bucket) => bucket),
      { toMinute: 0 },
    );
    const isThere = states.every(({ fences }) =>
      [...ends].every(([lineage, end]) => (fences.get(lineage)?.position ?? '') >= end),
    );
    if (isThere) return;
    await systemClock.sleep(LOOK_MS);
  }
}

async function endsOf(log: Pick<Source, 'lineages' | 'bounds'>): Promise<Map<string, string>> {
  const ends = new Map<string, string>();
  for (const { id } of await log.lineages()) {
    const { end } = await log.bounds(id);
    if (end !== END) ends.set(id, end);
  }
  return ends;
}
