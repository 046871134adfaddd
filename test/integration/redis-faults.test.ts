/** What Redis does to its users, one after the other: each is noticed before it is believed, and waited out. */
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ApplyRequest, BucketView } from '../../src/contract.ts';
import { at } from '../../src/conformance/places.ts';
import { contribution, speedRecord } from '../../src/conformance/speed-store.ts';
import { openRedisSpeedStore, type RedisSpeedStore } from '../../src/sinks/redis/store.ts';
import { removeKeys } from '../support/redis-keys.ts';
import { type RedisServer, startRedis, until } from '../support/redis-server.ts';
import { describeRedis } from '../support/redis-services.ts';
import { startSentinel, WATCHED } from '../support/redis-sentinel.ts';
import { openBucket } from '../support/speed-buckets.ts';
import { below, chance, randomOf } from '../simulation/random.ts';

const away = { code: 'SPEED_UNAVAILABLE', kind: 'transient' };
const refusedFor = (refused: string): unknown => ({ ok: false, refused });

describeRedis('speed store, faults', () => {
  let server: RedisServer;
  let admin: Redis;
  let store: RedisSpeedStore;
  let view: BucketView;
  const more: (() => Promise<unknown>)[] = [];

  const open = (url = server.url): Promise<RedisSpeedStore> =>
    openRedisSpeedStore({ urls: [url], buckets: 2, timeoutMs: 1500 });
  const request = (from: number, to: number, over: Partial<ApplyRequest> = {}): ApplyRequest => ({
    ...{ bucket: 0, lineage: 'l0', incarnation: 'i0', prev: at(from), to: at(to), arrival: 1, rules: 1, oldest: 2 },
    records: Array.from({ length: to - from }, (_, n) => speedRecord(from + n, 1n)),
    ...over,
  });
  const total = async (): Promise<bigint> =>
    (await store.read([0], {})).flatMap(({ cells }) => cells).reduce((sum, cell) => sum + cell.sum, 0n);
  const answers = (work: () => Promise<unknown>) => until('the store answers again', async () => (await work(), true));

  beforeEach(async () => {
    server = await startRedis();
    admin = server.admin();
    store = await open();
    view = await openBucket(store, 0);
    expect(await store.apply(request(0, 3))).toMatchObject({ ok: true });
  });
  afterEach(async () => {
    await store.close();
    for (const close of more.splice(0).reverse()) await close();
    await server.stop();
  });

  test('a server that died and kept nothing: calls fail as transient, and its emptiness is noticed', async () => {
    await server.kill('SIGKILL');
    for (const call of [
      () => store.apply(request(3, 4)),
      () => store.look(0, 'l0'),
      () => store.read([0], {}),
      () => store.check(),
    ])
      await expect(call()).rejects.toMatchObject(away);
    await server.restart();
    await answers(() => store.look(0, 'l0'));
    expect(await store.apply(request(3, 4))).toEqual(refusedFor('incarnation'));
    expect((await store.look(0, 'l0')).incarnation).toBeUndefined();
    await openBucket(store, 0);
    await store.apply(request(0, 4));
    expect(await total()).toBe(4n);
  });

  test('FLUSHALL is noticed by the next call', async () => {
    await admin.flushall();
    expect(await store.apply(request(3, 4))).toEqual(refusedFor('incarnation'));
    expect(await store.read([0], {})).toMatchObject([{ incarnation: undefined, cells: [] }]);
    const stale = { seen: view, mint: { incarnation: 'new', oldest: 2 }, mark: 'n', parents: [] };
    expect(await store.advance({ bucket: 0, lineage: 'l0', ...stale })).toEqual(refusedFor('incarnation'));
  });

  test('a bucket whose state alone is lost is empty: what lies about is not believed', async () => {
    await admin.del('mf{0}s');
    expect(await store.apply(request(3, 4))).toEqual(refusedFor('incarnation'));
    const seen = await store.look(0, 'l0');
    const fence = { position: at(0), arrival: 0, rules: 1 };
    const healed = { seen, mint: { incarnation: 'another', oldest: 2 }, mark: 'n', parents: [], fence };
    expect(await store.advance({ bucket: 0, lineage: 'l0', ...healed })).toMatchObject({ ok: true });
    await store.apply(request(0, 5, { incarnation: 'another' }));
    expect(await total()).toBe(5n);
  });

  test('a Redis that forgot the scripts is given them again', async () => {
    await admin.script('FLUSH');
    expect(await store.apply(request(3, 4))).toMatchObject({ ok: true });
    expect(await total()).toBe(4n);
  });

  test('a full Redis takes nothing, answers reads, and can be emptied', async () => {
    await store.apply(request(3, 6, { records: [4, 5].map((epoch, n) => speedRecord(3 + n, 1n, { epoch, segment: 1 })) }));
    await admin.config('SET', 'maxmemory', '1');
    const before = [await store.look(0, 'l0'), await total(), await store.epochs(0)];
    await expect(store.apply(request(6, 7))).rejects.toMatchObject(away);
    await expect(
      store.advance({
        bucket: 1,
        lineage: 'l0',
        seen: await store.look(1, 'l0'),
        mint: { incarnation: 'i', oldest: 1 },
        mark: 'm',
        parents: [],
      }),
    ).rejects.toMatchObject(away);
    expect([await store.look(0, 'l0'), await total(), await store.epochs(0)]).toEqual(before);
    await store.collect(0, 'l0', 1);
    expect(await store.dropEpoch(0, 3, new Map([['l0', 1]]))).toBe(true);
    expect([await total(), await store.epochs(0)]).toEqual([2n, [4, 5]]);
    await admin.config('SET', 'maxmemory', '0');
    expect(await store.apply(request(6, 7, { oldest: 4 }))).toMatchObject({ ok: true });
  });

  test('what was forgotten is freed, also by a later call where one died in between', async () => {
    await store.apply(request(3, 6, { records: [4, 5].map((epoch, n) => speedRecord(3 + n, 1n, { epoch, segment: 1 })) }));
    const sizes = [await admin.dbsize()];
    await admin.hset('mf{0}s', 'y:l0', '9');
    await store.collect(0, 'l0', 1);
    sizes.push(await admin.dbsize());
    await store.dropEpoch(0, 3, new Map());
    sizes.push(await admin.dbsize());
    // Three digests, on as many pages, and the map of these.
    expect([sizes[0]! - sizes[1]!, sizes[1]! - sizes[2]!]).toEqual([1, 4]);
    expect(await admin.hmget('mf{0}s', 'x', 'y:l0', 'n:3')).toEqual([null, null, null]);
  });

  test('what an incarnation held is freed when it is forgotten, also by a later call where one died in between', async () => {
    await store.apply(request(3, 6, { records: [4, 5].map((epoch, n) => speedRecord(3 + n, 1n, { epoch, segment: 1 })) }));
    const { incarnation = '' } = await store.look(0, 'l0');
    const before = await admin.hgetall('mf{0}s');
    await admin.hset('mf{0}s', 'y:l0', '9');
    await store.forget(0, incarnation);
    expect([await admin.keys('mf{0}*'), Object.keys(before).length > 3]).toEqual([[], true]);
  });

  describe('Redis let go of single names of a bucket', () => {
    const empty = { bucket: 0, incarnation: undefined, cells: [], fences: new Map(), floors: new Map() };

    test('a page of digests: a copy is not taken for new, the bucket is emptied', async () => {
      await removeKeys(admin, 'mf{0}d*');
      expect(await store.apply(request(3, 4, { records: [{ ...speedRecord(0, 1n), position: at(3) }] }))).toEqual(
        refusedFor('incarnation'),
      );
      expect(await store.look(0, 'l0')).toMatchObject({ incarnation: undefined, fence: undefined });
    });

    test('a page and the list of pages', async () => {
      await removeKeys(admin, 'mf{0}[dq]*');
      expect(await store.apply(request(3, 4, { records: [{ ...speedRecord(0, 1n), position: at(3) }] }))).toEqual(
        refusedFor('incarnation'),
      );
    });

    test('a hash of cells: nobody answers without it, nobody adds to what is left', async () => {
      await removeKeys(admin, 'mf{0}c*');
      expect(await store.read([0], {})).toEqual([empty]);
      expect(await store.apply(request(3, 4))).toEqual(refusedFor('incarnation'));
      expect(await store.look(0, 'l0')).toMatchObject({ incarnation: undefined, fence: undefined });
    });

    test('a hash of cells that is written to first', async () => {
      await removeKeys(admin, 'mf{0}c*');
      expect(await store.apply(request(3, 4))).toEqual(refusedFor('incarnation'));
      expect(await store.read([0], {})).toEqual([empty]);
    });

    test('a page that keys are loaded into', async () => {
      const seen = await store.look(0, 'l0');
      await removeKeys(admin, 'mf{0}d*');
      const keys = [speedRecord(0, 1n)];
      const chunk = { seen, mint: { incarnation: 'new', oldest: 2 }, mark: 'n', parents: [], keys };
      expect(await store.advance({ bucket: 0, lineage: 'l0', ...chunk })).toEqual(refusedFor('incarnation'));
      expect((await store.look(0, 'l0')).incarnation).toBeUndefined();
    });

    test('what was collected or dropped is not missed', async () => {
      await store.apply(request(3, 6, { records: [4, 5].map((epoch, n) => speedRecord(3 + n, 1n, { epoch, segment: 1 })) }));
      await store.collect(0, 'l0', 1);
      expect(await store.dropEpoch(0, 3, new Map([['l0', 1]]))).toBe(true);
      const records = [speedRecord(6, 1n, { epoch: 5, segment: 1 })];
      expect(await store.apply(request(6, 7, { oldest: 4, records }))).toMatchObject({ ok: true });
      expect(await total()).toBe(3n);
      expect(await admin.hkeys('mf{0}s')).not.toContain('m:l0 0');
    });

    test('any names at any time: who looks sees an empty bucket, or each key that was applied once', async () => {
      const random = randomOf(20261201, 0);
      // As the log has it: a third are copies of earlier keys.
      const log = Array.from({ length: 60 }, (_, n) => {
        const key = chance(random, 1 / 3) ? below(random, n + 1) : n;
        const contributions = [contribution(1n, { tenant: `t${key % 5}`, minute: n % 3 })];
        return {
          ...speedRecord(key, 1n, { epoch: 2 + (n % 3), segment: Math.floor(n / 20), contributions }),
          position: at(n),
        };
      });
      const truth = (fence: number): bigint => BigInt(new Set(log.slice(0, fence).map(({ digest }) => digest)).size);
      let [fence, incarnation, lost] = [60, 'i0', 0];
      for (let round = 0; round < 400; round += 1) {
        if (chance(random, 0.2)) {
          const names = await admin.keys('mf{0}*');
          const gone = names.filter(() => chance(random, 0.1));
          if (gone.length > 0) await admin.unlink(...gone);
        }
        const [state] = await store.read([0], {});
        const found = Number(state!.fences.get('l0')?.position ?? -1);
        if (found >= 0)
          expect(
            state!.cells.reduce((sum, cell) => sum + cell.sum, 0n),
            `round ${round}`,
          ).toBe(truth(found));
        const to = Math.min(60, fence + 1 + below(random, 8));
        const records = log.slice(fence, to);
        const reply = fence < 60 && (await store.apply(request(fence, to, { incarnation, records })));
        if (reply !== false && reply.ok) {
          fence = to;
          continue;
        }
        lost += reply === false ? 0 : 1;
        [fence, incarnation] = [0, `i${round + 1}`];
        const seen = await store.look(0, 'l0');
        if (seen.incarnation !== undefined) await store.forget(0, seen.incarnation);
        const filled = { seen: await store.look(0, 'l0'), mint: { incarnation, oldest: 2 }, mark: incarnation, parents: [] };
        const start = { position: at(0), arrival: 0, rules: 1 };
        expect(await store.advance({ bucket: 0, lineage: 'l0', ...filled, fence: start })).toMatchObject({ ok: true });
      }
      expect(lost).toBeGreaterThan(20);
    });
  });

  test('a maxmemory-policy that lets go of keys refuses to start, and is told by check', async () => {
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
    const wrong = {
      code: 'SPEED_MISCONFIGURED',
      kind: 'fatal',
      detail: { field: 'maxmemory-policy', value: 'allkeys-lru' },
    };
    await expect(open()).rejects.toMatchObject(wrong);
    await expect(store.check()).rejects.toMatchObject(wrong);
  });

  test('a replica takes nothing', async () => {
    const replica = await startRedis(['--replicaof', `127.0.0.1 ${server.port}`]);
    more.push(() => replica.stop());
    const other = await open(replica.url);
    more.push(() => other.close());
    await until('the replica has what the primary has', async () => (await other.look(0, 'l0')).fence === at(3));
    await expect(other.apply(request(3, 4))).rejects.toMatchObject({
      ...away,
      message: expect.stringContaining('READONLY'),
    });
  });

  test('a script of somebody else that goes on and on is waited for', async () => {
    await admin.config('SET', 'lua-time-limit', '20');
    const endless = server.admin().eval('while true do end', 0);
    const killed = expect(endless).rejects.toThrow(/killed|SCRIPT KILL/i);
    await until('Redis is busy', () =>
      store.look(0, 'l0').then(
        () => false,
        (error: unknown) => (expect(error).toMatchObject(away), true),
      ),
    );
    await expect(store.apply(request(3, 4))).rejects.toMatchObject(away);
    await admin.script('KILL');
    await killed;
    await answers(() => store.look(0, 'l0'));
    expect(await store.apply(request(3, 4))).toMatchObject({ ok: true });
  });

  test('a Redis that still reads its file is waited for, and then has what it had saved', async () => {
    await admin.save();
    await store.apply(request(3, 5));
    await server.kill('SIGKILL');
    const up = server.restart(['--key-load-delay', '600000', '--loading-process-events-interval-bytes', '1024']);
    await expect(store.look(0, 'l0')).rejects.toMatchObject(away);
    await up;
    await answers(() => store.look(0, 'l0'));
    // What came after the file is a lost suffix.
    expect((await store.look(0, 'l0')).fence).toBe(at(3));
    expect(await store.apply(request(5, 6))).toEqual(refusedFor('fence'));
    await store.apply(request(3, 6));
    expect(await total()).toBe(6n);
  });

  test('a failover that loses a suffix: the fence went back, the worker is told, and a replay counts each once', async () => {
    const replica = await startRedis(['--replicaof', `127.0.0.1 ${server.port}`]);
    const sentinel = await startSentinel(server.port);
    more.push(
      () => replica.stop(),
      () => sentinel.stop(),
    );
    await store.close();
    store = await openRedisSpeedStore({
      urls: [sentinel.url],
      mode: 'sentinel',
      sentinelName: WATCHED,
      buckets: 2,
      timeoutMs: 1500,
    });
    // A primary gathers replicas for five seconds before it sends its data.
    expect(await admin.wait(1, 15_000)).toBe(1);
    await until('the Sentinel knows the replica', async () => (await sentinel.replicas()) === 1);
    // From here on the replica does not get in any more.
    await replica.admin().config('SET', 'masterauth', 'wrong');
    await admin.client('KILL', 'TYPE', 'REPLICA');
    expect(await store.apply(request(3, 8))).toMatchObject({ ok: true });
    await server.kill('SIGKILL');
    await until('the replica is promoted', async () => (await sentinel.primary()) === replica.port);
    await answers(() => store.look(0, 'l0'));
    expect(await store.apply(request(8, 9))).toEqual(refusedFor('fence'));
    expect((await store.look(0, 'l0')).fence).toBe(at(3));
    await until('the new primary takes writes', async () => (await store.apply(request(3, 9))).ok);
    await store.apply(request(0, 9));
    expect(await total()).toBe(9n);
  });
});
