/** `config --check` over real servers: all well, each wrong in turn, all wrong at once; and nothing is changed by it. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CheckRow } from '../../src/cli/config-check.ts';
import { program } from '../../src/cli/program.ts';
import { migrate } from '../../src/sinks/postgres/migrate.ts';
import { recordInstallation } from '../../src/sinks/postgres/installation.ts';
import { openPool } from '../../src/sinks/postgres/pool.ts';
import { freePort } from '../support/free-port.ts';
import { describeKafka, type TestKafka } from '../support/kafka-services.ts';
import type { Connection } from '../support/postgres-server.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { describeRedis } from '../support/redis-services.ts';
import { databaseUrl, type Environment, environmentOf } from '../support/role-process.ts';
import type { S3Server } from '../support/s3-server.ts';
import { describeS3 } from '../support/s3-services.ts';
import { describePostgres, type TestDatabase } from '../support/postgres-services.ts';

interface Checked {
  readonly code: number;
  readonly text: string;
  readonly rows: readonly CheckRow[];
}

async function check(env: Environment, ...flags: readonly string[]): Promise<Checked> {
  let text = '';
  const out = (line: string): void => void (text += `${line}\n`);
  const streams = { out, err: out, bytes: () => Promise.resolve(), isTerminal: false };
  const context = { env, streams, stop: new AbortController().signal, random: () => 0.5 };
  const code = await program(context, ['config', '--check', ...flags]);
  const rows = flags.includes('--json') ? (JSON.parse(text) as { readonly checks: readonly CheckRow[] }).checks : [];
  return { code, text, rows };
}
const faults = ({ rows }: Checked): readonly CheckRow[] => rows.filter(({ result }) => result === 'fault');

describe('config --check without servers', () => {
  let dataDir: string;
  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'meterfold-check-'));
  });
  afterAll(() => rm(dataDir, { recursive: true }));

  test('the embedded product: a table, exit 0, and the directory stays as it was', async () => {
    const { code, text } = await check({ METERFOLD_DATA_DIR: join(dataDir, 'new', 'one') });
    expect(text).toMatch(/^check +result +detail\n-+ +-+ +-+\nsettings +ok +/);
    expect(text).toMatch(/^data directory +ok +.*the first start makes it$/m);
    expect(code).toBe(0);
    expect(await readdir(dataDir)).toEqual([]);
  });

  test('a role names every server that is missing', async () => {
    const checked = await check({ METERFOLD_DATA_DIR: dataDir }, '--role', 'worker', '--json');
    expect(faults(checked).map(({ field }) => field)).toEqual(['databaseUrl', 'redisUrls', 's3Bucket']);
    expect(checked.code).toBe(1);
  });

  test('settings that cannot be read are a row each', async () => {
    const env = { METERFOLD_TICK_MS: '1', METERFOLD_LOG_LEVEL: 'loud', METERFOLD_TICKS: '5' };
    const checked = await check(env, '--json');
    expect(checked.rows.map(({ check: name, field }) => [name, field])).toEqual([
      ['settings', 'METERFOLD_TICKS'],
      ['settings', 'tickMs'],
      ['settings', 'logLevel'],
    ]);
    expect(checked.rows[1]?.detail).toContain('allowed: a whole number from 10');
    expect(checked.code).toBe(1);
  });

  test('a role that there is none is a usage error', async () => {
    expect((await check({}, '--role', 'reader')).code).toBe(2);
  });

  test('what files and modules are wrong in: meters, processors, privacy, address, all at once', async () => {
    const metersFile = join(dataDir, 'meters.yaml');
    await writeFile(metersFile, 'meters: [{ key: a, event_type: a, aggregation: most }]');
    const checked = await check(
      {
        METERFOLD_DATA_DIR: join(dataDir, 'data'),
        METERFOLD_METERS_FILE: metersFile,
        METERFOLD_PROCESSORS: './not-there.mjs',
        METERFOLD_HOST: '0.0.0.0',
        METERFOLD_LOG_MODULE: 'node:path',
      },
      '--json',
    );
    expect(faults(checked).map(({ check: name, field }) => [name, field])).toEqual([
      ['setting: host', 'host'],
      ['log', 'logModule'],
      ['meters file', 'metersFile'],
      ['processors', 'processors'],
    ]);
    const worker = await check({ METERFOLD_METERS_FILE: metersFile }, '--role', 'worker', '--json');
    expect(worker.rows.map(({ check: name }) => name)).not.toContain('meters file');
  });
});

describeKafka('config --check', {}, (kafka) => {
  describeS3(
    'config --check',
    (s3) => {
      describeRedis('config --check', () => {
        describePostgres('config --check', (database) => {
          suite(kafka, s3, database);
        });
      });
    },
    'own',
  );
});

function suite(kafka: () => TestKafka, s3: () => S3Server, database: TestDatabase): void {
  let redis: RedisServer;
  let connection: Connection;
  let bucket: string;
  let well: Environment;

  /** The SDK reads its credentials from the environment of the process. */
  const as = ({ accessKeyId, secretAccessKey }: { accessKeyId: string; secretAccessKey: string }): void => {
    process.env.AWS_ACCESS_KEY_ID = accessKeyId;
    process.env.AWS_SECRET_ACCESS_KEY = secretAccessKey;
  };
  const objects = async (): Promise<(string | undefined)[]> => {
    const { Contents = [] } = await s3().client.send(new ListObjectsV2Command({ Bucket: bucket }));
    return Contents.map(({ Key }) => Key);
  };
  const sql = async (text: string): Promise<readonly Record<string, unknown>[]> => {
    const client = new pg.Client(connection);
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(text)).rows;
    } finally {
      await client.end();
    }
  };

  beforeAll(async () => {
    redis = await startRedis();
    connection = await database.empty();
    bucket = await s3().bucket();
    const topic = await kafka().topic(3);
    as(s3().access.credentials);
    well = {
      ...environmentOf({ database: connection, redis, s3: s3(), bucket }),
      METERFOLD_KAFKA_BROKERS: kafka().brokers.join(),
      METERFOLD_KAFKA_TOPIC: topic,
      METERFOLD_KAFKA_GROUP: topic,
      METERFOLD_KAFKA_MIN_INSYNC_REPLICAS: '1',
      METERFOLD_PARTITIONS: '3',
      METERFOLD_BUCKETS: '4',
    };
  }, 120_000);
  afterAll(() => redis.stop());

  test('all is well, twice, and nothing is left but the object that says so', async () => {
    for (const role of ['worker', 'scheduler']) {
      const checked = await check(well, '--role', role, '--json');
      expect(faults(checked)).toEqual([]);
      expect(checked.code).toBe(0);
      expect(checked.rows.map(({ check: name }) => name)).toEqual([
        ...['settings', 'setting: databaseUrl', 'setting: redisUrls', 'setting: s3Bucket', 'setting: host'],
        ...['database: server', 'database: layout and rights', 'database: what is fixed'],
        ...['log: topic', 'log: settings of the topic', 'log: group'],
        ...['speed store: servers', 'speed store: buckets', 'speed store: rights'],
        ...['archive: put and get', 'archive: layout', 'archive: list', 'processors', 'privacy'],
      ]);
    }
    expect(await redis.admin().dbsize()).toBe(0);
    expect(await objects()).toEqual(['meterfold-check.json']);
    expect(await sql(`SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace`)).toEqual([]);
    const [offsets] = await Promise.all([kafka().admin.fetchTopicOffsets(well.METERFOLD_KAFKA_TOPIC ?? '')]);
    expect(offsets.map(({ high }) => high)).toEqual(['0', '0', '0']);
    const { groups } = await kafka().admin.listGroups();
    expect(groups.map(({ groupId }) => groupId)).not.toContain(well.METERFOLD_KAFKA_GROUP);
  });

  test('every server is away: each is a fault with its setting, and no password is printed', async () => {
    const away = `127.0.0.1:${String(await freePort())}`;
    const checked = await check(
      {
        ...well,
        METERFOLD_DATABASE_URL: `postgres://me:planted@${away}/db`,
        METERFOLD_REDIS_URLS: `redis://me:planted@${away}`,
        METERFOLD_S3_ENDPOINT: `http://${away}`,
        METERFOLD_KAFKA_BROKERS: away,
      },
      '--json',
    );
    expect(faults(checked).map(({ check: name, field }) => [name, field])).toEqual([
      ['database: server', 'databaseUrl'],
      ['log: topic', 'kafkaBrokers'],
      ['speed store: servers', 'redisUrls'],
      ['archive: put and get', 's3Bucket'],
    ]);
    expect(checked.rows.filter(({ result }) => result === 'skipped')).toHaveLength(8);
    expect(checked.text).not.toContain('planted');
    expect(checked.code).toBe(1);
  });

  /** The one fault that this environment has. */
  const fault = async (more: Environment): Promise<CheckRow | undefined> => {
    const found = faults(await check({ ...well, ...more }, '--json'));
    expect(found).toHaveLength(1);
    return found[0];
  };

  test('database: none of that name, a user without rights, a replica by its default', async () => {
    const none = databaseUrl({ ...connection, database: 'nowhere' });
    expect(await fault({ METERFOLD_DATABASE_URL: none })).toMatchObject({
      ...{ check: 'database: server', field: 'databaseUrl', allowed: expect.stringContaining('makes none') as string },
    });
    await sql(`CREATE USER visitor; REVOKE CREATE ON SCHEMA public FROM PUBLIC`);
    expect(await fault({ METERFOLD_DATABASE_URL: databaseUrl({ ...connection, user: 'visitor' }) })).toMatchObject({
      check: 'database: layout and rights',
      detail: expect.stringContaining('visitor may not make tables in public') as string,
      allowed: expect.stringContaining('GRANT CREATE, USAGE ON SCHEMA public TO visitor') as string,
    });
    await sql(`CREATE USER reader; ALTER ROLE reader SET default_transaction_read_only = on`);
    expect(await fault({ METERFOLD_DATABASE_URL: databaseUrl({ ...connection, user: 'reader' }) })).toMatchObject({
      check: 'database: server',
      detail: expect.stringContaining('read-only') as string,
    });
  });

  test('database: a layout that is newer, tables of somebody else, other settings than at the first start', async () => {
    const own = await database.empty();
    const pool = openPool(own, { max: 1 });
    await migrate(pool);
    const fixed = { partitions: 3, buckets: 4, epochMs: 3_600_000, keyRetentionMs: 0, usageRetentionMonths: 0 };
    await recordInstallation(pool, fixed);
    const url = { METERFOLD_DATABASE_URL: databaseUrl(own) };
    const checked = await check({ ...well, ...url }, '--json');
    expect(faults(checked)).toEqual([]);
    expect(checked.text).toContain('the same as at the first start');
    expect(await fault({ ...url, METERFOLD_BUCKETS: '8', METERFOLD_EPOCH_MS: '60000' })).toMatchObject({
      check: 'database: what is fixed',
      detail: expect.stringContaining('buckets was 4, is 8; epochMs was 3600000, is 60000') as string,
    });
    await pool.query(
      'GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE USER stranger; GRANT SELECT ON ALL TABLES IN SCHEMA public TO stranger',
    );
    const foreign = await fault({ METERFOLD_DATABASE_URL: databaseUrl({ ...own, user: 'stranger' }) });
    expect(foreign).toMatchObject({ check: 'database: layout and rights', field: 'databaseUrl' });
    expect(foreign?.detail).toMatch(/stranger may not use .*heads.*manifest.*usage_hourly/);
    await pool.query(
      `INSERT INTO layout (name, run_on) VALUES ('9999_later', now()); UPDATE layout_needs SET step = '9999_later'`,
    );
    expect((await fault(url))?.detail).toContain('9999_later');
    await pool.end();
  });

  test('Kafka: no topic, fewer partitions, settings that are no log, a group of other software', async () => {
    expect(await fault({ METERFOLD_KAFKA_TOPIC: 'nowhere' })).toMatchObject({ check: 'log: topic', field: 'kafkaTopic' });
    expect(await fault({ METERFOLD_PARTITIONS: '9' })).toMatchObject({
      check: 'log: topic',
      field: 'partitions',
      allowed: '3',
    });
    const loose = await kafka().topic(3, { 'cleanup.policy': 'compact', 'message.timestamp.type': 'CreateTime' });
    expect(await fault({ METERFOLD_KAFKA_TOPIC: loose, METERFOLD_KAFKA_MIN_INSYNC_REPLICAS: '2' })).toMatchObject({
      check: 'log: settings of the topic',
      allowed: expect.stringMatching(/cleanup.policy=delete.*LogAppendTime.*min.insync.replicas=at least 2/) as string,
    });
    const consumer = kafka().client.consumer({ groupId: `other-${loose}` });
    await consumer.connect();
    await consumer.subscribe({ topic: loose });
    const joined = new Promise((resolve) => consumer.on(consumer.events.GROUP_JOIN, resolve));
    await consumer.run({ eachMessage: () => Promise.resolve() });
    await joined;
    expect(await fault({ METERFOLD_KAFKA_GROUP: `other-${loose}` })).toMatchObject({
      check: 'log: group',
      field: 'kafkaGroup',
    });
    await consumer.disconnect();
  });

  test('Redis: a policy of eviction, a wrong password, rights that are not enough', async () => {
    const admin = redis.admin();
    await admin.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
    expect(await fault({})).toMatchObject({ check: 'speed store: servers', allowed: 'noeviction' });
    await admin.call('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
    const rights =
      '~mf{* -@all +eval +evalsha +hget +hset +hdel +hmget +hgetall +hincrby +exists +mget +mset +bitfield +unlink +info'.split(
        ' ',
      );
    await admin.call('ACL', 'SETUSER', 'worker', 'on', '>secret', ...rights);
    const url = (password: string): Environment => ({
      METERFOLD_REDIS_URLS: `redis://worker:${password}@127.0.0.1:${String(redis.port)}`,
    });
    expect(faults(await check({ ...well, ...url('secret') }, '--json'))).toEqual([]);
    expect(await fault(url('wrong'))).toMatchObject({ check: 'speed store: servers', field: 'redisUrls' });
    await admin.call('ACL', 'SETUSER', 'worker', '-hincrby');
    const few = await fault(url('secret'));
    expect(few).toMatchObject({ check: 'speed store: rights', field: 'redisUrls' });
    expect(few?.allowed).toContain('~mf{* +eval');
    await admin.call('ACL', 'SETUSER', 'worker', '+hincrby', '-unlink');
    expect(await fault(url('secret'))).toMatchObject({ check: 'speed store: rights' });
    expect(await admin.dbsize()).toBe(0);
  });

  test('S3: no bucket, another layout, a format that costs', async () => {
    expect(await fault({ METERFOLD_S3_BUCKET: 'nowhere-at-all' })).toMatchObject({
      ...{
        check: 'archive: put and get',
        field: 's3Bucket',
        allowed: expect.stringContaining('create the bucket') as string,
      },
    });
    const Key = 'other/meterfold-archive.json';
    await s3().client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: '{"meterfold":"archive","layout":2}' }));
    expect(await fault({ METERFOLD_S3_PREFIX: 'other' })).toMatchObject({ check: 'archive: layout', field: 's3Prefix' });
    expect(await fault({ METERFOLD_ARCHIVE_FORMAT: '1' })).toMatchObject({ field: 'archiveFormat' });
  });

  test('S3: the policy of a worker is enough; one that only reads is not', async () => {
    const at = (path: string): string => `arn:aws:s3:::${bucket}${path}`;
    const allow = (...Action: readonly string[]): object => ({ Effect: 'Allow', Action, Resource: at('/*') });
    const { user, access } = s3();
    if (user === undefined) throw new Error('no users');
    try {
      as((await user(bucket, [allow('s3:PutObject', 's3:GetObject', 's3:AbortMultipartUpload')])).credentials);
      const checked = await check({ ...well, METERFOLD_S3_PREFIX: 'least' }, '--json');
      expect(faults(checked)).toEqual([]);
      expect(checked.text).toContain('not allowed; only a sweep needs it');
      as((await user(bucket, [allow('s3:GetObject')])).credentials);
      expect(await fault({ METERFOLD_S3_PREFIX: 'read' })).toMatchObject({ check: 'archive: put and get' });
      as({ accessKeyId: 'nobody', secretAccessKey: 'wrong' });
      expect(await fault({})).toMatchObject({ allowed: expect.stringContaining('credentials') as string });
    } finally {
      as(access.credentials);
    }
  });

  test('privacy that hashes needs its secret', async () => {
    const privacy = { METERFOLD_PRIVACY: '{ calls: { default: hash } }' };
    expect(await fault(privacy)).toMatchObject({ check: 'privacy', field: 'privacySecret' });
  });
}
