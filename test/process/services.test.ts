/** `npm run services`, as a person uses it: up, twice; sourced; down, with data kept; up again; wiped. */
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isRunning } from '../../scripts/services/process.ts';
import type { State } from '../../scripts/services/state.ts';
import type { Standing } from '../../scripts/services/status.ts';
import { startProduct } from '../../src/cli/product.ts';
import { systemClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config.ts';
import { openLog } from '../../src/observe/log.ts';
import { clientOf } from '../support/redis-server.ts';
import { kafka } from '../support/services/kafka.ts';
import { postgres } from '../support/services/postgres.ts';
import { redis } from '../support/services/redis.ts';
import { s3 } from '../support/services/s3.ts';
import { describeService } from '../support/services/suites.ts';

const LOADER = new URL('../support/typescript.mjs', import.meta.url).href;
const MAIN = new URL('../../scripts/services/main.ts', import.meta.url).pathname;
const TITLE = 'npm run services';
const LONG = { timeout: 300_000 };

const run = promisify(execFile);

describeService(TITLE, kafka, 'own', () => {
  describeService(TITLE, redis, 'own', () => {
    describeService(TITLE, postgres, 'own', () => {
      describeService(TITLE, s3, 'own', suite);
    });
  });
});

interface Told {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function suite(): void {
  let home: string;
  let folder: string;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'meterfold-services-'));
    // PostgreSQL, which root may not run, has to get through.
    await chmod(home, 0o755);
    folder = join(home, 'servers');
  });
  afterAll(async () => {
    await services('down', '--wipe');
    await rm(home, { recursive: true, force: true });
  }, 120_000);

  /** Servers that are given are not started: here all are. */
  const env = () => {
    const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('METERFOLD_'));
    return { ...Object.fromEntries(kept), MF_SERVICES_DIR: folder };
  };
  const services = async (...args: readonly string[]): Promise<Told> => {
    const command = ['--import', LOADER, MAIN, ...args];
    try {
      const { stdout, stderr } = await run(process.execPath, command, { env: env() });
      return { code: 0, out: stdout, err: stderr };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { code, out: stdout, err: stderr };
    }
  };
  const standings = async () => JSON.parse((await services('status', '--json')).out) as readonly Standing[];
  const stateOf = async () => JSON.parse(await readFile(join(folder, 'state.json'), 'utf8')) as Required<State>;
  const sourced = async (): Promise<Record<string, string>> => {
    const { stdout } = await run('sh', ['-c', '. "$0" && env -0', join(folder, 'env')], { env: {} });
    const pairs = stdout.split('\0').filter((pair) => /^(METERFOLD|AWS)_/.test(pair));
    return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]));
  };

  test('before all, nothing answers, and what is no command is said', LONG, async () => {
    const { code, out } = await services('status');
    expect(code).toBe(1);
    expect(out.match(/ no$/gm)).toHaveLength(4);
    expect(await services('begin')).toMatchObject({ code: 2, err: expect.stringContaining('there is no command begin') });
    expect(await services('down')).toEqual({ code: 0, out: '', err: '' });
  });

  test('up starts all of them, and the product runs on what env says', LONG, async () => {
    expect(await services('up')).toMatchObject({ code: 0 });
    expect((await standings()).map(({ name, answers }) => [name, answers])).toEqual([
      ...[['kafka', true] as const, ['redis', true] as const, ['postgres', true] as const, ['s3', true] as const],
    ]);
    expect((await readdir(folder)).sort()).toEqual(['env', 'kafka', 'postgres', 'redis', 's3', 'state.json']);
    const settings = await sourced();
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, ...named } = settings;
    Object.assign(process.env, { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION });
    const config = parseConfig({ env: named, flags: { port: 0, dataDir: join(home, 'data'), logLevel: 'silent' } });
    const product = await startProduct(config, {
      ...{ clock: systemClock, random: Math.random, log: openLog({ level: 'silent' }) },
    });
    await product.ready();
    const event = { tenant_id: 't', event_type: 'calls', quantity: '2', idempotency_key: 'k' };
    const body = JSON.stringify({ ...event, event_timestamp: new Date().toISOString() });
    const headers = { 'content-type': 'application/json' };
    const { status } = await fetch(`${product.url}/v1/events`, { method: 'POST', headers, body });
    expect(status).toBe(200);
    await product.close();
  });

  test('a second up leaves what runs', LONG, async () => {
    const before = await stateOf();
    const { code, out } = await services('up');
    expect(code).toBe(0);
    expect(out.match(/\(as before\)/g)).toHaveLength(4);
    expect(await stateOf()).toEqual(before);
  });

  test('down stops the processes and keeps their data and addresses; --wipe keeps nothing', LONG, async () => {
    const before = await stateOf();
    for (const { pid } of Object.values(before)) expect(isRunning(pid, folder)).toBe(true);
    const client = clientOf(before.redis.address);
    await client.set('kept', 'yes');
    client.disconnect();
    expect(await services('down')).toMatchObject({ code: 0, out: expect.not.stringContaining('killed') });
    // One that has ended may still be listed, until somebody asks how.
    for (const { pid } of Object.values(before)) expect(isRunning(pid, folder)).toBe(false);
    expect((await standings()).some(({ answers }) => answers)).toBe(false);

    expect((await services('up')).code).toBe(0);
    const after = await stateOf();
    expect(Object.values(after).map(({ address }) => address)).toEqual(Object.values(before).map(({ address }) => address));
    const again = clientOf(after.redis.address);
    expect(await again.get('kept')).toBe('yes');
    again.disconnect();

    // One that died by itself is started again, the others are left.
    process.kill(after.redis.pid!, 'SIGKILL');
    expect((await services('up')).out.match(/\(as before\)/g)).toHaveLength(3);

    expect((await services('down', '--wipe')).code).toBe(0);
    expect(await readdir(home)).not.toContain('servers');
  });
}
