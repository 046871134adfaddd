/** Servers in containers, on an engine of one's own: the third way to a server is as good as the second. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { docker, type Engine, startEngine } from '../support/docker-engine.ts';
import { makeImage } from '../support/local-images.ts';
import { openRedis } from '../support/redis-services.ts';
import { openS3 } from '../support/s3-server.ts';
import { hasImage } from '../support/services/docker.ts';
import { redis } from '../support/services/redis.ts';
import { s3 } from '../support/services/s3.ts';
import { describeService } from '../support/services/suites.ts';
import { find, type Found, ownProgram, type Service } from '../support/services/ways.ts';

const TITLE = 'servers in containers';
const LONG = { timeout: 120_000 };
const run = promisify(execFile);

describeService(TITLE, docker, 'own', () => {
  describeService(TITLE, redis, 'own', () => {
    describeService(TITLE, s3, 'own', suite);
  });
});

/** As on a machine that has Docker and nothing else. */
function contained(service: Service, image: string): Found {
  const found = find({ ...service, image, program: () => undefined }, 'any', { env: {}, hasImage });
  expect(found).toEqual({ way: 'Docker', image, server: `${service.name} in Docker (${image})` });
  return found!;
}

function suite(): void {
  const before = { ...process.env };
  let engine: Engine;

  const names = async (): Promise<string> => (await run('docker', ['ps', '--all', '--format', '{{.Image}}'])).stdout;

  beforeAll(async () => {
    engine = await startEngine();
    // The reaper is an image, too. Every test removes its container, and the engine goes with the suite.
    Object.assign(process.env, { DOCKER_HOST: engine.url, TESTCONTAINERS_RYUK_DISABLED: 'true' });
    process.env.TESTCONTAINERS_HOST_OVERRIDE = '127.0.0.1';
    makeImage(
      {
        ...{ name: 'test/redis:1', changes: ['ENV PATH=/bin'] },
        programs: { [ownProgram(redis).path]: '/bin/redis-server' },
      },
      engine.url,
    );
    const changes = ['ENTRYPOINT ["/bin/versitygw"]'];
    makeImage(
      { ...{ name: 'test/versitygw:1', changes }, programs: { [ownProgram(s3).path]: '/bin/versitygw' } },
      engine.url,
    );
  }, 120_000);
  afterAll(async () => {
    await engine.stop();
    process.env = before;
  }, 60_000);

  test('an image that is nowhere is no way', LONG, () => {
    expect(find({ ...redis, image: 'test/nowhere:1', program: () => undefined }, 'any', { env: {}, hasImage })).toBe(
      undefined,
    );
  });

  test('Redis answers from its container, on this machine alone, and is gone afterwards', LONG, async () => {
    const server = await openRedis(contained(redis, 'test/redis:1'));
    expect(server.url).toMatch(/^redis:\/\/127\.0\.0\.1:\d+$/);
    expect((await run('docker', ['ps', '--format', '{{.Ports}}'])).stdout.trim()).toMatch(/^127\.0\.0\.1:\d+->6379\/tcp$/);
    const admin = server.admin();
    await admin.set('key', 'value');
    expect(await admin.get('key')).toBe('value');
    expect(await admin.config('GET', 'appendonly')).toEqual(['appendonly', 'no']);
    await server.stop();
    expect(await names()).not.toContain('test/redis');
  });

  test('S3 answers from its container, and writes an object once', LONG, async () => {
    const server = await openS3(contained(s3, 'test/versitygw:1'));
    const bucket = await server.bucket();
    const put = (Body: string) =>
      server.client.send(new PutObjectCommand({ ...{ Bucket: bucket, Key: 'a/b', Body }, IfNoneMatch: '*' }));
    await put('first');
    await expect(put('second')).rejects.toMatchObject({ $metadata: { httpStatusCode: 412 } });
    const { Body } = await server.client.send(new GetObjectCommand({ Bucket: bucket, Key: 'a/b' }));
    expect(await Body?.transformToString()).toBe('first');
    await server.stop();
    expect(await names()).not.toContain('test/versitygw');
  });
}
