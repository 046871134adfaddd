/** A process that appends to a log until it is told to stop, and tells what was acknowledged. See postgres-log-chaos.test.ts. */
import { systemClock } from '../../src/clock.ts';
import { openPool } from '../../src/sinks/postgres/pool.ts';
import { openPostgresLog } from '../../src/sources/postgres.ts';
import { appendUntil, type Acknowledged } from './append-load.ts';
import type { Connection } from './postgres-server.ts';

export interface Orders {
  readonly connection: Connection;
  readonly partitions: number;
  readonly name: string;
  readonly lanes: number;
}

process.once('message', (orders: Orders) => {
  // An uncaught rejection ends the process, which the test sees.
  work(orders).catch((error: unknown) => {
    throw error;
  });
});

async function work({ connection, partitions, name, lanes }: Orders): Promise<void> {
  const stop = new AbortController();
  process.once('message', () => stop.abort());
  const pool = openPool(connection, { max: 4 });
  const log = await openPostgresLog({ pool, partitions, clock: systemClock });
  process.send?.('started');
  const acknowledged: Acknowledged[] = await appendUntil(log, { name, lanes }, stop.signal);
  await pool.end();
  process.send?.(acknowledged, () => process.disconnect());
}
