/** Ways in: TLS, ACL users, and what a refused way in is called. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openRedisSpeedStore } from '../../src/sinks/redis/store.ts';
import { freePort } from '../support/free-port.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { describeRedis } from '../support/redis-services.ts';
import { openBucket } from '../support/speed-buckets.ts';

/** What docs/component-spec.md says that a user needs, and nothing else. */
const RIGHTS =
  '~mf{* -@all +eval +evalsha +hget +hset +hdel +hmget +hgetall +hincrby +exists +mget +mset +bitfield +unlink +info';

describeRedis('speed store, access', () => {
  const dir = mkdtempSync(join(tmpdir(), 'meterfold-tls-'));
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(dir, name)) as [string, string];
  let server: RedisServer;
  let tlsPort: number;

  beforeAll(async () => {
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
    const own = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
    execFileSync('openssl', [...own, '-keyout', key, '-out', cert, ...subject], { stdio: 'pipe' });
    tlsPort = await freePort();
    const tls = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert, '--tls-auth-clients', 'no'];
    server = await startRedis(['--tls-port', String(tlsPort), ...tls]);
    await server.admin().call('ACL', 'SETUSER', 'worker', 'on', '>se/cret', ...RIGHTS.split(' '));
  });
  afterAll(async () => {
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  test('TLS: a certificate that is trusted, and one that is not', async () => {
    const urls = [`rediss://127.0.0.1:${tlsPort}`];
    const store = await openRedisSpeedStore({ urls, buckets: 1, tls: { ca: readFileSync(cert) } });
    await store.check();
    await store.close();
    await expect(openRedisSpeedStore({ urls, buckets: 1 })).rejects.toMatchObject({ code: 'SPEED_UNAVAILABLE' });
  });

  test('an ACL user with the documented rights does all that the store does', async () => {
    const urls = [`redis://worker:se%2Fcret@127.0.0.1:${server.port}`];
    const store = await openRedisSpeedStore({ urls, buckets: 1 });
    await openBucket(store, 0);
    const place = { bucket: 0, lineage: 'l0', incarnation: 'i0', prev: '0', to: '00000000000000000009' };
    const record = { position: '00000000000000000001', digest: 'd'.repeat(16), segment: 0 };
    const contribution = {
      tenant: 't',
      meter: 'm@1',
      minute: 1,
      group: '[]',
      aggregation: 'sum',
      value: 1n,
      order: '',
    } as const;
    for (const [n, epoch] of [2, 3, 4].entries()) {
      const records = [
        {
          ...record,
          digest: String(n).repeat(16),
          epoch,
          position: `0000000000000000000${n + 1}`,
          contributions: [contribution],
        },
      ];
      const to = `0000000000000000000${n + 2}`;
      expect(await store.apply({ ...place, prev: '0', to, arrival: 1, rules: 1, oldest: 2, records })).toMatchObject({
        ok: true,
      });
    }
    expect(await store.dropEpoch(0, 2, new Map())).toBe(true);
    await store.collect(0, 'l0', 1);
    expect(await store.epochs(0)).toEqual([3, 4]);
    expect(await store.read([0], {})).toMatchObject([{ cells: [] }]);
    await store.close();
  });

  test('a wrong password and a name outside of its rights are settings, not weather', async () => {
    const at = `127.0.0.1:${server.port}`;
    const wrong = { code: 'SPEED_MISCONFIGURED', kind: 'fatal' };
    await expect(openRedisSpeedStore({ urls: [`redis://worker:no@${at}`], buckets: 1 })).rejects.toMatchObject(wrong);
    const other = await openRedisSpeedStore({
      urls: [`redis://${at}`],
      username: 'worker',
      password: 'se/cret',
      buckets: 1,
      prefix: 'x',
    });
    await expect(other.look(0, 'l0')).rejects.toMatchObject(wrong);
    await other.close();
  });

  test('addresses that cannot be used are refused, without their passwords', async () => {
    for (const urls of [[], ['http://u:secret@h'], ['nonsense'], ['redis://u:secret@h/x']])
      await expect(openRedisSpeedStore({ urls, buckets: 1 })).rejects.toSatisfy(
        (error: Error & { code?: string }) => error.code === 'BAD_CONFIG' && !error.message.includes('secret'),
      );
    const nameless = openRedisSpeedStore({ urls: ['redis://h'], mode: 'sentinel', buckets: 1 });
    await expect(nameless).rejects.toMatchObject({ code: 'BAD_CONFIG', detail: { field: 'sentinelName' } });
    const nobody = openRedisSpeedStore({ urls: [`redis://127.0.0.1:${await freePort()}`], buckets: 1 });
    await expect(nobody).rejects.toMatchObject({ code: 'SPEED_UNAVAILABLE' });
  });
});
