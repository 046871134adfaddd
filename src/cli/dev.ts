/** `meterfold dev`: the whole product in one process, until it is told to stop. */
import { systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { openLog } from '../observe/log.ts';
import type { Streams } from './output.ts';
import { startProduct } from './product.ts';

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
export async function dev(config: Config, random: () => number, streams: Streams, stop: AbortSignal): Promise<number> {
  const clock = systemClock;
  const log = openLog({ level: config.logLevel });
  const product = await startProduct(config, { clock, random, log });
  const stopped = new Promise<'stopped'>((resolve) => {
    if (stop.aborted) resolve('stopped');
    stop.addEventListener('abort', () => resolve('stopped'), { once: true });
  });
  try {
    await Promise.race([product.ready(), product.failed, stopped]);
    if (!stop.aborted) streams.out(welcome(product.url, clock.now()));
    await Promise.race([product.failed, stopped]);
  } finally {
    await product.close();
  }
  return 0;
}
