/** The whole product over Kafka: what foreign producers do to a topic costs a detour, never a wrong number. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { partitionOf } from '../../src/domain/routing.ts';
import { type Meterfold, startMeterfold } from '../../src/library.ts';
import { VARIABLE } from '../support/kafka-log-module.ts';
import { describeKafka } from '../support/kafka-services.ts';
import { event, now, range } from '../support/usage-of-today.ts';

const PARTITIONS = 3;
const TENANTS = ['acme', 'globex', 'initech', 'umbrella'];

describeKafka('the product on Kafka', { own: true }, (kafka) => {
  test('counts each event once: misrouted, without a key, in a transaction, as a CloudEvent, in a partition that was added', async () => {
    const topic = await kafka().topic(PARTITIONS);
    process.env[VARIABLE] = JSON.stringify({ brokers: kafka().brokers, topic });
    const dataDir = await mkdtemp(join(tmpdir(), 'meterfold-kafka-'));
    const logModule = fileURLToPath(new URL('../support/kafka-log-module.ts', import.meta.url));
    const start = (): Promise<Meterfold> =>
      startMeterfold({ dataDir, port: 'none', logModule, partitions: PARTITIONS, logLevel: 'silent' });
    const totals = async (meterfold: Meterfold): Promise<unknown> =>
      Promise.all(
        TENANTS.map(async (tenant) => {
          const { rows, proof } = await meterfold.query('calls', { ...range, tenant });
          return [tenant, rows[0]?.value, proof.state];
        }),
      );
    try {
      let meterfold = await start();
      const own = TENANTS.flatMap((tenant) => Array.from({ length: 25 }, (_, n) => event(tenant, `own-${n}`)));
      expect(await meterfold.ingest([...own, ...own.slice(0, 40)])).toMatchObject({ accepted: 140, rejected: 0 });

      const producer = kafka().client.producer();
      await producer.connect();
      const foreign = TENANTS.flatMap((tenant) => Array.from({ length: 10 }, (_, n) => event(tenant, `foreign-${n}`)));
      for (const [n, one] of foreign.entries()) {
        // At home, elsewhere, and without a key; every third one twice, in two places.
        const value = JSON.stringify(one);
        const key = n % 4 === 0 ? null : one.tenant_id;
        await producer.send({
          topic,
          messages: [{ key, value, partition: (partitionOf(one.tenant_id, PARTITIONS) + n) % PARTITIONS }],
        });
        if (n % 3 === 0) await producer.send({ topic, messages: [{ key, value, partition: n % PARTITIONS }] });
      }
      // What HTTP has taken already comes again this way.
      await producer.send({
        topic,
        messages: own.slice(0, 9).map((one, n) => ({ value: JSON.stringify(one), partition: n % PARTITIONS })),
      });
      const attributes = { ce_specversion: '1.0', ce_source: 'edge', ce_type: 'calls', ce_time: now, ce_tenantid: 'acme' };
      const cloud = Array.from({ length: 5 }, (_, n) => ({
        value: '{"quantity":2}',
        partition: n % 3,
        headers: { ...attributes, ce_id: `${n}` },
      }));
      await producer.send({ topic, messages: [...cloud, ...cloud.slice(0, 2)] });
      const transactional = kafka().client.producer({ transactionalId: topic, idempotent: true, maxInFlightRequests: 1 });
      await transactional.connect();
      for (const isCommitted of [true, false, true, false]) {
        const transaction = await transactional.transaction();
        const name = isCommitted ? 'committed' : 'aborted';
        const messages = TENANTS.map((tenant) => ({
          key: tenant,
          value: JSON.stringify(event(tenant, name)),
          partition: partitionOf(tenant, PARTITIONS),
        }));
        await transaction.send({ topic, messages });
        await (isCommitted ? transaction.commit() : transaction.abort());
      }
      await transactional.disconnect();
      await producer.disconnect();

      // 25 by HTTP, 10 foreign, 1 committed, and 5 CloudEvents of one tenant; each of quantity 2.
      const expected = TENANTS.map((tenant) => [tenant, String(2 * (tenant === 'acme' ? 41 : 36)), 'exact']);
      await expect.poll(() => totals(meterfold), { timeout: 60_000, interval: 200 }).toEqual(expected);
      expect(await meterfold.verify()).toMatchObject({ ok: true, findings: [], differences: [] });
      await meterfold.close();

      await kafka().admin.createPartitions({ topicPartitions: [{ topic, count: PARTITIONS + 1 }] });
      await expect.poll(async () => (await kafka().admin.fetchTopicOffsets(topic)).length).toBe(PARTITIONS + 1);
      // One that has been there before knows three partitions only, and says nothing of what it leaves out.
      const late = kafka().client.producer();
      await late.connect();
      meterfold = await start();
      await late.send({
        topic,
        messages: [{ key: 'globex', value: JSON.stringify(event('globex', 'added')), partition: PARTITIONS }],
      });
      await late.disconnect();
      const after = expected.map(([tenant, value, state]) => [tenant, tenant === 'globex' ? '74' : value, state]);
      await expect.poll(() => totals(meterfold), { timeout: 60_000, interval: 200 }).toEqual(after);
      expect(await meterfold.verify()).toMatchObject({ ok: true, differences: [] });
      await meterfold.close();
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  }, 240_000);
});
