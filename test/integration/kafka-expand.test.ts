/** The log goes on in another topic, under load: what was acknowledged counts once, whoever has not heard. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { type LogFixture, sourceConformance } from '../../src/conformance/source.ts';
import { END, type Position } from '../../src/contract.ts';
import { partitionOf } from '../../src/domain/routing.ts';
import { MeterError } from '../../src/errors.ts';
import { type Meterfold, startMeterfold } from '../../src/library.ts';
import { expand } from '../../src/sources/generations/expand.ts';
import { openGenerations } from '../../src/sources/generations/log.ts';
import type { Generation, GenerationRegistry } from '../../src/sources/generations/registry.ts';
import { openerOf, readToEnd } from '../support/kafka-logs.ts';
import { describeKafka } from '../support/kafka-services.ts';
import { event, range } from '../support/usage-of-today.ts';

const [OLD, NEW] = [4, 6];
const TENANTS = Array.from({ length: 12 }, (_, n) => `tenant-${n}`);
const never = new AbortController().signal;

/** In memory; `fails` is asked before each call. */
function registryOf(fails: () => boolean = () => false): GenerationRegistry {
  const all: Generation[] = [];
  const [before, ends] = [new Map<string, Position>(), new Map<string, Position>()];
  const call = async <T>(work: () => T): Promise<T> => {
    if (fails()) throw new MeterError('DATABASE_UNAVAILABLE', 'the process died here');
    return Promise.resolve(work());
  };
  return {
    look: () => call(() => ({ all: [...all], ends: new Map(ends) })),
    plan: (one) =>
      call(() => {
        const found = all.find(({ number }) => number === one.number);
        if (found === undefined) all.push(one);
        return found ?? one;
      }),
    closing: (lineage, place) =>
      call(() => {
        before.set(lineage, before.get(lineage) ?? place);
        return before.get(lineage) ?? place;
      }),
    ended: (lineage, end) => call(() => void ends.set(lineage, ends.get(lineage) ?? end)),
    open: (number) => call(() => void all.splice(number - 1, 1, { ...all[number - 1]!, isOpen: true })),
  };
}

describeKafka('another generation of the log', { own: true }, (kafka) => {
  const open = openerOf(kafka);

  sourceConformance('Kafka log of generations', async (): Promise<LogFixture> => {
    const first = { topic: await kafka().topic(OLD), partitions: OLD };
    const second = await kafka().topic(NEW);
    const ports = {
      registry: registryOf(),
      first,
      open: (topic: string, partitions: number) => open(topic, { partitions }),
    };
    const start = () => openGenerations({ ...ports, name: 'log', clock: systemClock, groupId: 'g' });
    const log = await start();
    return {
      log,
      again: start,
      batch: { records: 2000, bytes: 1024 * 1024 },
      end: async () => {
        await expand(ports, { topic: second }, never);
        await log.lineages();
      },
      close: () => Promise.resolve(),
    };
  });

  test('an expansion that dies at any step is finished by the next one, and ends stay where they were', async () => {
    const [first, second] = [await kafka().topic(OLD), await kafka().topic(NEW)];
    let left = 0;
    const registry = registryOf(() => (left -= 1) < 0);
    const ports = {
      registry,
      first: { topic: first, partitions: OLD },
      open: (topic: string, partitions: number) => open(topic, { partitions }),
    };
    let tries = 0;
    const seen = new Map<string, Position>();
    for (let done = false; !done; tries += 1) {
      left = tries;
      done = await expand(ports, { topic: second }, never).then(
        () => true,
        (error: unknown) => {
          if (!(error instanceof MeterError && error.code === 'DATABASE_UNAVAILABLE')) throw error;
          return false;
        },
      );
      left = 1;
      for (const [lineage, end] of (await registry.look()).ends) expect(seen.get(lineage) ?? end).toBe(end);
      left = 1;
      for (const [lineage, end] of (await registry.look()).ends) seen.set(lineage, end);
    }
    expect(tries).toBeGreaterThan(2 * OLD);
    left = 1000;
    const old = await open(first, { partitions: OLD });
    for (const lineage of await old.lineages()) {
      const records = await readToEnd(old, lineage);
      expect(seen.get(lineage.id)).toBe(records.find(({ control }) => control?.type === 'close')?.position);
    }
    const log = await openGenerations({ ...ports, name: 'log', clock: systemClock, groupId: 'g' });
    const lineages = await log.lineages();
    const tails = lineages.filter(({ id }) => id.endsWith('~tail'));
    const children = lineages.filter(({ depth }) => depth === 1);
    expect([lineages.length, tails.length, children.length]).toEqual([2 * OLD + NEW, OLD, NEW]);
    for (const { parents } of children) expect([...parents].sort()).toEqual([...seen.keys()].sort());
    for (const [id, end] of seen) {
      expect((await log.bounds(id)).end).toBe(END);
      await using reader = log.open(id, end);
      expect(await reader.next(never)).toEqual({ lineage: id, from: end, next: END, records: [] });
    }
    for (const { owns } of tails) expect(TENANTS.some((tenant) => owns(tenant))).toBe(false);
    await expect(expand(ports, { topic: first }, never)).rejects.toMatchObject({ code: 'BAD_REQUEST' });
    expect((await expand(ports, { topic: second }, never)).ends.map(({ lineage, end }) => [lineage, end])).toEqual([
      ...seen,
    ]);
    await log.close();
  }, 240_000);

  test('from four partitions to six in mid-flow: what two producers got acknowledged is the answer, also of the one that never hears', async () => {
    const [first, second] = [await kafka().topic(OLD), await kafka().topic(NEW)];
    const dataDir = await mkdtemp(join(tmpdir(), 'meterfold-expand-'));
    const start = (): Promise<Meterfold> =>
      startMeterfold({
        ...{ dataDir, partitions: OLD, logLevel: 'silent' },
        ...{ kafkaBrokers: kafka().brokers, kafkaTopic: first, kafkaMinInsyncReplicas: 1 },
      });
    const acknowledged = new Map<string, Set<string>>(TENANTS.map((tenant) => [tenant, new Set()]));
    const totals = async (meterfold: Meterfold): Promise<unknown> =>
      Promise.all(
        TENANTS.map(async (tenant) => {
          const { rows, proof } = await meterfold.query('calls', { ...range, tenant });
          return [tenant, rows[0]?.value, proof.state];
        }),
      );
    const truth = () => TENANTS.map((tenant) => [tenant, String(2 * (acknowledged.get(tenant)?.size ?? 0)), 'exact']);
    const post = (meterfold: Meterfold, body: object) =>
      fetch(`${meterfold.url ?? ''}/v1/broker/expand`, {
        ...{ method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } },
      });
    const producer = kafka().client.producer();
    await producer.connect();
    let sends = true;
    try {
      let meterfold = await start();
      /** By HTTP: it hears. */
      const hearing = async (): Promise<void> => {
        for (let n = 0; sends; n += 1) {
          const { accepted } = await meterfold.ingest(TENANTS.map((tenant) => event(tenant, `own-${n}`)));
          expect(accepted).toBe(TENANTS.length);
          for (const tenant of TENANTS) acknowledged.get(tenant)?.add(`own-${n}`);
        }
      };
      /** Into the old topic, for ever; some of what it sends is what the other one sent. */
      const deaf = async (): Promise<void> => {
        for (let n = 0; sends; n += 1) {
          const tenant = TENANTS[n % TENANTS.length]!;
          const key = n % 5 === 0 ? `own-${n % 40}` : `deaf-${n}`;
          const message = { key: tenant, value: JSON.stringify(event(tenant, key)), partition: partitionOf(tenant, OLD) };
          await producer.send({ topic: first, acks: -1, messages: [message] });
          acknowledged.get(tenant)?.add(key);
        }
      };
      const load = Promise.all([hearing(), deaf()]);
      const isBusy = (): boolean => [...acknowledged.values()].every((keys) => keys.size > 30);
      await expect.poll(isBusy, { timeout: 60_000, interval: 50 }).toBe(true);
      const [one, two] = [await post(meterfold, { topic: second }), await post(meterfold, { topic: second })];
      expect([one.status, two.status]).toEqual([200, 200]);
      const done = await one.json();
      expect(done).toMatchObject({ generation: 2, topic: second, partitions: NEW });
      expect(await two.json()).toEqual(done);
      const inNew = async (): Promise<number> =>
        (await kafka().admin.fetchTopicOffsets(second)).reduce((sum, { high }) => sum + Number(high), 0);
      // The one that hears writes there by now, and more than ticks are there.
      await expect.poll(inNew, { timeout: 60_000, interval: 100 }).toBeGreaterThan(30 * NEW);
      sends = false;
      await load;
      await expect.poll(() => totals(meterfold), { timeout: 120_000, interval: 500 }).toEqual(truth());
      expect(await meterfold.verify()).toMatchObject({ ok: true, findings: [], differences: [] });
      expect((await post(meterfold, { topic: first })).status).toBe(400);
      await meterfold.close();

      meterfold = await start();
      // What is written behind the end long after comes home, too.
      for (const tenant of TENANTS) {
        const message = { key: tenant, value: JSON.stringify(event(tenant, 'late')), partition: partitionOf(tenant, OLD) };
        await producer.send({ topic: first, acks: -1, messages: [message] });
        acknowledged.get(tenant)?.add('late');
      }
      await expect.poll(() => totals(meterfold), { timeout: 120_000, interval: 500 }).toEqual(truth());
      expect(await meterfold.verify()).toMatchObject({ ok: true, differences: [] });
      await meterfold.close();
    } finally {
      sends = false;
      await producer.disconnect();
      await rm(dataDir, { recursive: true, force: true });
    }
  }, 400_000);
});
