/** A Sentinel of one's own that watches a primary, and decides alone. */
import { spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { client, until } from './redis-server.ts';
import { redis } from './services/redis.ts';
import { ownProgram } from './services/ways.ts';

export const WATCHED = 'meterfold';

export interface Sentinel {
  readonly url: string;
  /** The port that it names for the primary now. */
  primary(): Promise<number>;
  /** How many replicas it knows to be reachable: before that it promotes none. */
  replicas(): Promise<number>;
  stop(): Promise<void>;
}

export async function startSentinel(primaryPort: number): Promise<Sentinel> {
  const { path } = ownProgram(redis);
  const [dir, port] = [mkdtempSync(join(tmpdir(), 'meterfold-sentinel-')), await freePort()];
  const file = join(dir, 'sentinel.conf');
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${dir}`,
    `sentinel monitor ${WATCHED} 127.0.0.1 ${primaryPort} 1`,
    `sentinel down-after-milliseconds ${WATCHED} 500`,
    `sentinel failover-timeout ${WATCHED} 4000`,
  ];
  writeFileSync(file, lines.join('\n'));
  const child = spawn(path, [file, '--sentinel'], { stdio: 'ignore' });
  const admin = client(port);
  await until(`sentinel on ${port} answers`, async () => admin.ping());
  return {
    url: `redis://127.0.0.1:${port}`,
    primary: async () => {
      const [, now] = (await admin.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', WATCHED)) as [string, string];
      return Number(now);
    },
    replicas: async () => {
      const list = (await admin.call('SENTINEL', 'REPLICAS', WATCHED)) as string[][];
      return list.filter((fields) => fields[fields.indexOf('flags') + 1] === 'slave').length;
    },
    stop: async () => {
      admin.disconnect();
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
