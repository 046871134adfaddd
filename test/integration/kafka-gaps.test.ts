/** Retention that passed what nobody had read: on record, in every answer, and in no number. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { partitionOf } from '../../src/domain/routing.ts';
import { type Meterfold, type NewEvent, startMeterfold } from '../../src/library.ts';
import type { GapProof } from '../../src/serving/gaps.ts';
import { VARIABLE } from '../support/kafka-log-module.ts';
import { describeKafka } from '../support/kafka-services.ts';
import { event, range } from '../support/usage-of-today.ts';

const PARTITIONS = 2;
const TENANTS = ['acme', 'globex', 'initech', 'umbrella'];
const eventsOf = (name: string, count: number): NewEvent[] =>
  TENANTS.flatMap((tenant) => Array.from({ length: count }, (_, n) => event(tenant, `${name}-${n}`)));

describeKafka('a gap in Kafka', { own: true }, (kafka) => {
  test('is a row of the manifest, makes answers provisional until it is acknowledged, and nothing else is lost', async () => {
    const topic = await kafka().topic(PARTITIONS);
    process.env[VARIABLE] = JSON.stringify({ brokers: kafka().brokers, topic });
    const dataDir = await mkdtemp(join(tmpdir(), 'meterfold-gaps-'));
    const logModule = fileURLToPath(new URL('../support/kafka-log-module.ts', import.meta.url));
    const start = (): Promise<Meterfold> =>
      startMeterfold({ dataDir, logModule, partitions: PARTITIONS, logLevel: 'silent' });
    const totals = async (meterfold: Meterfold): Promise<unknown> =>
      Promise.all(
        TENANTS.map(async (tenant) => {
          const { rows, proof } = await meterfold.query('calls', { ...range, tenant });
          return [rows[0]?.value, proof.state, proof.reason ?? null];
        }),
      );
    const all = (value: number, state: string, reason: string | null) => TENANTS.map(() => [String(value), state, reason]);
    const producer = kafka().client.producer();
    await producer.connect();
    const send = async (events: readonly NewEvent[]): Promise<void> => {
      for (let partition = 0; partition < PARTITIONS; partition += 1) {
        const own = events.filter(({ tenant_id: tenant }) => partitionOf(tenant, PARTITIONS) === partition);
        const messages = own.map((one) => ({ key: one.tenant_id, value: JSON.stringify(one), partition }));
        if (messages.length > 0) await producer.send({ topic, messages });
      }
    };
    try {
      let meterfold = await start();
      await meterfold.ingest(eventsOf('read', 5));
      await expect.poll(() => totals(meterfold), { timeout: 60_000, interval: 200 }).toEqual(all(10, 'exact', null));
      const published = async (): Promise<number> => {
        const { events } = (await (await fetch(`${meterfold.url ?? ''}/v1/events?limit=1000`)).json()) as {
          events: unknown[];
        };
        return events.length;
      };
      // What is counted live and not sealed is lost, too.
      await expect.poll(published, { timeout: 60_000, interval: 200 }).toBe(5 * TENANTS.length);
      await meterfold.close();

      // Nobody reads: what comes now is let go of, but for the last of it.
      await send(eventsOf('lost', 7));
      const offsets = await kafka().admin.fetchTopicOffsets(topic);
      await kafka().admin.deleteTopicRecords({
        topic,
        partitions: offsets.map(({ partition, high }) => ({ partition, offset: high })),
      });
      await send(eventsOf('kept', 3));

      meterfold = await start();
      await expect.poll(() => totals(meterfold), { timeout: 60_000, interval: 200 }).toEqual(all(16, 'provisional', 'gap'));
      // What was lost and is sent again counts, live and published.
      await meterfold.ingest(eventsOf('lost', 2));
      await expect.poll(() => totals(meterfold), { timeout: 60_000, interval: 200 }).toEqual(all(20, 'provisional', 'gap'));
      const { gaps } = (await (await fetch(`${meterfold.url ?? ''}/v1/gaps`)).json()) as { gaps: GapProof[] };
      expect(gaps).toHaveLength(PARTITIONS);
      for (const { lineage, to, places } of gaps) {
        const partition = Number(lineage.split('.').at(-1));
        expect(Number(to)).toBe(Number(offsets.find((one) => one.partition === partition)?.high));
        expect(places).toBeGreaterThanOrEqual(7);
      }
      expect(await meterfold.verify()).toMatchObject({ ok: true, findings: [], differences: [] });
      const metrics = await (await fetch(`${meterfold.url ?? ''}/metrics`)).text();
      for (const { lineage } of gaps) expect(metrics).toContain(`meterfold_log_gaps_total{lineage="${lineage}"} 1`);

      for (const { lineage, from } of gaps) {
        const body = JSON.stringify({ lineage, from, note: 'billed by hand' });
        const request = { method: 'POST', body, headers: { 'content-type': 'application/json' } };
        expect((await fetch(`${meterfold.url ?? ''}/v1/gaps/acknowledge`, request)).status).toBe(200);
      }
      await expect.poll(() => totals(meterfold), { timeout: 60_000, interval: 200 }).toEqual(all(20, 'exact', null));
      const { proof } = await meterfold.query('calls', { ...range, tenant: 'acme' });
      expect(proof.gaps?.map(({ note }) => note)).toEqual(gaps.map(() => 'billed by hand'));
      await meterfold.close();

      // A start later reads them from the manifest.
      meterfold = await start();
      await expect.poll(() => totals(meterfold), { timeout: 60_000, interval: 200 }).toEqual(all(20, 'exact', null));
      expect(await meterfold.verify()).toMatchObject({ ok: true, differences: [] });
      await meterfold.close();
    } finally {
      await producer.disconnect();
      await rm(dataDir, { recursive: true, force: true });
    }
  }, 300_000);
});
