/** docs/production.md as an operator reads it: its commands run, on real servers, one after the other. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { describeKafka, type TestKafka } from '../support/kafka-services.ts';
import { untilWithin } from '../support/poll.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { describeRedis } from '../support/redis-services.ts';
import type { S3Server } from '../support/s3-server.ts';
import { describeS3 } from '../support/s3-services.ts';
import { describePostgres, type TestDatabase } from '../support/postgres-services.ts';
import { environmentOf } from '../support/role-process.ts';
import { kcat } from '../support/services/kcat.ts';
import { describeService } from '../support/services/suites.ts';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PORTS = ['8081', '8082', '8083', '8084', '8085', '8086', '8087', '8088'];
const until = untilWithin(120_000);

describeKafka('docs/production.md', {}, (kafka) => {
  describeService('docs/production.md', kcat, 'own', () => {
    describeS3('docs/production.md', (s3) => {
      describeRedis('docs/production.md', () => {
        describePostgres('docs/production.md', (database) => {
          suite(kafka, s3, database);
        });
      });
    });
  });
});

interface Answer {
  readonly rows: readonly { readonly value: string; readonly count: number }[];
  readonly proof: { readonly state: string };
}

function suite(kafka: () => TestKafka, s3: () => S3Server, database: TestDatabase): void {
  let redis: RedisServer;
  let folder: string;
  let env: Readonly<Record<string, string | undefined>>;
  let blocks: ReadonlyMap<string, string>;

  beforeAll(async () => {
    redis = await startRedis();
    folder = await mkdtemp(join(tmpdir(), 'meterfold-run-'));
    const servers = { database: await database.empty(), redis, s3: s3(), bucket: await s3().bucket() };
    env = {
      PATH: process.env.PATH,
      ...environmentOf(servers),
      METERFOLD_KAFKA_BROKERS: kafka().brokers.join(),
      METERFOLD_KAFKA_TOPIC: await kafka().topic(4),
      METERFOLD_KAFKA_MIN_INSYNC_REPLICAS: '1',
    };
    const page = await readFile(join(ROOT, 'docs/production.md'), 'utf8');
    const free = new Map(await Promise.all(PORTS.map(async (old) => [old, String(await freePort())] as const)));
    const own = (text: string): string =>
      text.replaceAll('.meterfold-run', folder).replace(/\b808\d\b/g, (old) => free.get(old) ?? old);
    blocks = new Map([...page.matchAll(/```sh (\w+)\n([\s\S]*?)```/g)].map(([, name = '', text = '']) => [name, own(text)]));
  }, 120_000);

  afterAll(async () => {
    for (const name of (await readdir(folder)).filter((file) => file.endsWith('.pid'))) {
      const pid = Number(await readFile(join(folder, name), 'utf8'));
      if (isThere(pid)) process.kill(pid, 'SIGKILL');
    }
    await redis.stop();
    await rm(folder, { recursive: true });
  });

  const shell = async (name: string): Promise<string> => {
    const text = blocks.get(name);
    if (text === undefined) throw new Error(`docs/production.md has no block ${name}`);
    const { stdout } = await run('bash', ['-c', text], { cwd: ROOT, env: env, timeout: 120_000 });
    return stdout;
  };
  const answer = async (): Promise<Answer> => JSON.parse(await shell('query')) as Answer;
  const reaches = (value: string) =>
    until(`the answer is ${value}`, answer, ({ rows, proof }) => rows[0]?.value === value && proof.state === 'exact');

  test('its commands run in their order, and answer what it says', { timeout: 400_000 }, async () => {
    expect([...blocks.keys()]).toEqual(['services', 'check', 'roles', 'send', 'kcat', 'query', 'kill', 'stop', 'helm']);
    expect(await shell('check')).not.toMatch(/fault/);
    await shell('roles');
    expect(JSON.parse(await shell('send'))).toMatchObject({ accepted: 2 });
    await reaches('2000.5');
    await shell('kcat');
    const total = '2010';
    await reaches(total);
    expect(JSON.parse(await shell('kill'))).toMatchObject({ dependencies: expect.any(Array) as unknown });
    await reaches(total);
    const pids = await Promise.all(
      (await readdir(folder)).filter((file) => file.endsWith('.pid')).map((file) => readFile(join(folder, file), 'utf8')),
    );
    await shell('stop');
    await until('all are gone', () => Promise.resolve(!pids.map(Number).some(isThere)));
  });
}

/** A zombie whose parent has not asked for it yet is gone as well. */
function isThere(pid: number): boolean {
  try {
    return !execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' })
      .trim()
      .startsWith('Z');
  } catch {
    return false;
  }
}
