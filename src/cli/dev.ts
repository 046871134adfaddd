/** `meterfold dev`, the whole product in one process, and `meterfold ROLE`, one part of it: until it is told to stop. */
import { systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { openLog } from '../observe/log.ts';
import type { Streams } from './output.ts';
import { type ProductPorts, startProduct } from './product.ts';
import type { RoleName } from '../topology.ts';

/** An event of now, so that the answer to the second line shows it. */
function welcome(url: string, now: number): string {
  const minute = 60_000;
  const at = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
  const from = Math.floor(now / minute) * minute - 60 * minute;
  const event = {
    tenant_id: 'acme',
    event_type: 'api_calls',
    quantity: '1',
    idempotency_key: 'first-event',
    event_timestamp: at(now),
  };
  const query = `tenant=acme&from=${at(from)}&to=${at(from + 120 * minute)}&window=minute`;
  return [
    `ready on ${url}`,
    '',
    'Send an event, then ask for it:',
    '',
    `  curl -s ${url}/v1/events -H 'content-type: application/json' -d '${JSON.stringify(event)}'`,
    `  curl -s '${url}/v1/meters/api_calls/query?${query}'`,
    '',
  ].join('\n');
}

/** Resolves with the exit code once `stop` aborted and everything is closed, or a role failed for good. */
export const dev = (config: Config, random: () => number, streams: Streams, stop: AbortSignal): Promise<number> =>
  runUntil(config, { random }, stop, (url) => {
    streams.out(welcome(url, systemClock.now()));
  });

/** One role of several processes that share servers. As above. */
export const role = (name: RoleName, config: Config, context: Context, stop: AbortSignal): Promise<number> =>
  runUntil(config, { random: context.random, roles: new Set([name]) }, stop, (url) => {
    context.streams.out(`${name} ready on ${url}`);
  });

/** What stopped for good is shown until it was scraped: a process that is gone tells nobody why. */
const showStopped = async (ms: number, stop: AbortSignal, error: unknown): Promise<never> => {
  await systemClock.sleep(ms, stop);
  throw error;
};

interface Context {
  readonly random: () => number;
  readonly streams: Streams;
}
type Given = Pick<ProductPorts, 'random' | 'roles'>;

async function runUntil(config: Config, given: Given, stop: AbortSignal, greet: (url: string) => void): Promise<number> {
  const [{ roles }, { showStoppedMs: ms }] = [given, config];
  const log = openLog({ level: config.logLevel });
  const product = await startProduct(config, { ...given, clock: systemClock, log });
  const stopped = new Promise<'stopped'>((resolve) => {
    if (stop.aborted) resolve('stopped');
    stop.addEventListener('abort', () => resolve('stopped'), { once: true });
  });
  try {
    const failed = product.failed.catch((error: unknown) => showStopped(roles === undefined ? 0 : ms, stop, error));
    await Promise.race([product.ready(), failed, stopped]);
    if (!stop.aborted) greet(product.url);
    await Promise.race([failed, stopped]);
  } finally {
    await product.close();
  }
  return 0;
}
