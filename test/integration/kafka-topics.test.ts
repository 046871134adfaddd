import { ConfigResourceTypes } from 'kafkajs';
import { describe, expect, test } from 'vitest';
import { demandWritten, outgoing, textOf } from '../../src/conformance/source.ts';
import type { Catalog } from '../../src/contract.ts';
import { demandSameLog } from '../../src/cli/open-log.ts';
import { firstOf, openerOf, readToEnd } from '../support/kafka-logs.ts';
import { readWithKafkajs } from '../support/kafka-oracle.ts';
import { describeKafka, eventually } from '../support/kafka-services.ts';

const never = new AbortController().signal;
const position = (offset: number): string => String(offset).padStart(20, '0');

describeKafka('topics of the Kafka log', { own: true }, (kafka) => {
  const open = openerOf(kafka);

  const configure = (topic: string, name: string, value: string): Promise<unknown> =>
    kafka().admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: ConfigResourceTypes.TOPIC,
          name: topic,
          // All of them: what is not named falls back to the broker's.
          configEntries: [
            ...new Map([
              ['message.timestamp.type', 'LogAppendTime'],
              [name, value],
            ]),
          ].map(([key, text]) => ({
            name: key,
            value: text,
          })),
        },
      ],
    });

  describe('settings', () => {
    test('a compacted topic is refused, with or without deletion', async () => {
      for (const policy of ['compact', 'compact,delete']) {
        const topic = await kafka().topic(1, { 'cleanup.policy': policy });
        await expect(open(topic)).rejects.toMatchObject({
          code: 'LOG_MISCONFIGURED',
          kind: 'fatal',
          detail: { field: 'cleanup.policy', allowed: 'cleanup.policy=delete' },
        });
      }
    });

    test('KAF-1: every setting that is wrong is named at once', async () => {
      const wrong = {
        'cleanup.policy': 'compact',
        'message.timestamp.type': 'CreateTime',
        'unclean.leader.election.enable': 'true',
      };
      const topic = await kafka().topic(1, wrong);
      await expect(open(topic, { minInsyncReplicas: 2 })).rejects.toMatchObject({
        code: 'LOG_MISCONFIGURED',
        message: expect.stringMatching(/CreateTime.*min\.insync\.replicas is 1.*partition 0 has 1 replicas/),
        detail: { field: [...Object.keys(wrong), 'min.insync.replicas'].join(', ') },
      });
    });

    test('a topic that is not there, too few partitions and a broker that is none are told apart', async () => {
      await expect(open('no-such-topic')).rejects.toMatchObject({ code: 'LOG_MISCONFIGURED', detail: { field: 'topic' } });
      const topic = await kafka().topic(2);
      await expect(open(topic, { partitions: 3 })).rejects.toMatchObject({
        code: 'INSTALLATION_DIFFERS',
        detail: { field: 'partitions', value: '3', allowed: '2' },
      });
      await expect(open(topic, { brokers: ['localhost'] })).rejects.toMatchObject({ code: 'BAD_CONFIG' });
      await expect(open(topic, { brokers: ['127.0.0.1:1'] })).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' });
    });

    test('KAF-7: a topic that lets producers set the time later on stops its readers', async () => {
      const topic = await kafka().topic(1);
      const log = await open(topic);
      demandWritten(await log.append([outgoing('acme', 'before')]));
      await configure(topic, 'message.timestamp.type', 'CreateTime');
      const producer = kafka().client.producer();
      await producer.connect();
      await using reader = log.open((await firstOf(log)).id, position(0));
      const readOn = async (): Promise<void> => {
        // The broker takes a moment to hear of its new setting.
        for (;;) {
          await producer.send({ topic, messages: [{ value: 'after', timestamp: '1' }] });
          await reader.next(AbortSignal.timeout(300));
        }
      };
      const misconfigured = { code: 'LOG_MISCONFIGURED', detail: { field: 'message.timestamp.type' } };
      await expect(readOn()).rejects.toMatchObject(misconfigured);
      await producer.disconnect();
      await expect(readToEnd(log, await firstOf(log))).rejects.toMatchObject(misconfigured);
    });
  });

  describe('transactions', () => {
    test('KAF-2: what was aborted is not read, what was committed is, and markers only move the position', async () => {
      const topic = await kafka().topic(1);
      const log = await open(topic);
      const producer = kafka().client.producer({ transactionalId: topic, idempotent: true, maxInFlightRequests: 1 });
      const other = kafka().client.producer({ transactionalId: `${topic}-2`, idempotent: true, maxInFlightRequests: 1 });
      await producer.connect();
      await other.connect();
      const expected: string[] = [];
      for (let n = 0; n < 6; n += 1) {
        // Two that interleave, each aborted every other time, with events outside of any between them.
        const [a, b] = [await producer.transaction(), await other.transaction()];
        await a.send({ topic, messages: [{ key: 'acme', value: `a${n}` }] });
        await b.send({ topic, messages: [{ key: 'acme', value: `b${n}` }] });
        demandWritten(await log.append([outgoing('acme', `plain ${n}`)]));
        await a.send({ topic, messages: [{ key: 'acme', value: `A${n}` }] });
        const endA = () => (n % 2 === 0 ? a.commit() : a.abort());
        const endB = () => (n % 3 === 0 ? b.commit() : b.abort());
        // They end in either order: the broker lists what was aborted by its end, not by its beginning.
        for (const end of n < 3 ? [endA, endB] : [endB, endA]) await end();
        expected.push(...(n % 2 === 0 ? [`a${n}`] : []), ...(n % 3 === 0 ? [`b${n}`] : []), `plain ${n}`);
        expected.push(...(n % 2 === 0 ? [`A${n}`] : []));
      }
      await producer.disconnect();
      await other.disconnect();
      const lineage = await firstOf(log);
      const records = await readToEnd(log, lineage);
      expect(records.map(textOf)).toEqual(expected);
      // 4 records and 2 markers a round.
      expect(await log.bounds(lineage.id)).toEqual({ first: position(0), end: position(36) });
      const places = new Map((await readWithKafkajs(kafka(), topic)).map(({ offset, value }) => [value, position(offset)]));
      expect(places.size).toBe(24);
      expect(records.map((record) => record.position)).toEqual(expected.map((text) => places.get(text)));
      for (const { position: from } of records) {
        const again = await readToEnd(log, lineage, from);
        expect(again.map(textOf)).toEqual(expected.slice(records.findIndex((record) => record.position === from)));
      }
    });

    test('KAF-3: an open transaction holds readers back, is shown as such, and as hung when it lasts', async () => {
      const topic = await kafka().topic(1);
      let now = Date.now();
      const clock = { now: () => now, sleep: () => new Promise<void>((resolve) => setTimeout(resolve, 5)) };
      const log = await open(topic, { clock, hungAfterMs: 60_000 });
      demandWritten(await log.append([outgoing('acme', 'before')]));
      const producer = kafka().client.producer({ transactionalId: topic, idempotent: true, maxInFlightRequests: 1 });
      await producer.connect();
      const transaction = await producer.transaction();
      await transaction.send({ topic, messages: [{ key: 'acme', value: 'open' }] });
      demandWritten(await log.append([outgoing('acme', 'behind'), outgoing('acme', 'it')]));
      const { id, origin } = await firstOf(log);
      await using reader = log.open(id, origin);
      expect((await reader.next(never))?.records.map(textOf)).toEqual(['before']);
      expect(await reader.next(AbortSignal.timeout(400))).toBeUndefined();
      const [standing] = log.standings();
      expect(standing).toMatchObject({
        lineage: id,
        at: position(1),
        lag: 3,
        heldBack: { at: position(1), isHung: false },
      });
      expect(standing?.arrival).toBeGreaterThan(now - 60_000);
      now += 60_001;
      expect(await reader.next(AbortSignal.timeout(400))).toBeUndefined();
      expect(log.standings()[0]?.heldBack).toEqual({ at: position(1), forMs: 60_001, isHung: true });
      await transaction.abort();
      await producer.disconnect();
      expect((await reader.next(never))?.records.map(textOf)).toEqual(['behind', 'it']);
      await expect
        .poll(async () => {
          await reader.next(AbortSignal.timeout(200));
          return log.standings()[0];
        })
        .toMatchObject({ at: position(5), lag: 0, heldBack: undefined });
    });
  });

  describe('another log than before', () => {
    test('KAF-4: a topic that was made again under its name stops readers and writers, whatever it holds', async () => {
      const topic = await kafka().topic(1);
      const log = await open(topic);
      const old = await firstOf(log);
      demandWritten(await log.append([outgoing('acme', 'old 0'), outgoing('acme', 'old 1')]));
      await using reader = log.open(old.id, old.origin);
      await reader.next(never);
      const waiting = reader.next(never);
      waiting.catch(() => undefined);
      await kafka().admin.deleteTopics({ topics: [topic] });
      await eventually(async () => !(await kafka().admin.listTopics()).includes(topic), 'the topic is gone');
      await kafka().topic(1, {}, topic);
      const anew = await open(topic);
      const fresh = await firstOf(anew);
      expect(fresh.id).not.toBe(old.id);
      demandWritten(await anew.append(['a', 'b', 'c', 'd'].map((text) => outgoing('acme', text))));
      await expect(waiting).rejects.toMatchObject({ code: 'LOG_REPLACED', kind: 'fatal' });
      // One of another process, which had not waited.
      await expect(log.open(old.id, position(2)).next(never)).rejects.toMatchObject({ code: 'LOG_REPLACED' });
      await expect(anew.open(old.id, position(2)).next(never)).rejects.toMatchObject({ code: 'LOG_REPLACED' });
      const [outcome] = await log.append([outgoing('acme', 'lost')]);
      expect(outcome).toMatchObject({ code: 'LOG_REPLACED' });
      await expect(log.bounds(old.id)).rejects.toMatchObject({ code: 'LOG_REPLACED' });
      await expect(log.trim(old.id, position(1))).rejects.toMatchObject({ code: 'LOG_REPLACED' });
      await expect(log.lineages()).rejects.toMatchObject({ code: 'LOG_REPLACED' });
      // Brokers before 4.1 know it by its name only, and take it: it is not acknowledged.
      const held = (await readToEnd(anew, fresh)).map(textOf);
      expect(held.filter((text) => text !== 'lost')).toEqual(['a', 'b', 'c', 'd']);
      const catalog = { heads: async () => [{ lineage: old.id, ended: false }] } as unknown as Pick<Catalog, 'heads'>;
      await expect(demandSameLog(anew, catalog)).rejects.toMatchObject({ code: 'INSTALLATION_DIFFERS' });
    });

    test('a topic that is gone stops its readers, once nobody has known it for a while', async () => {
      const topic = await kafka().topic(1);
      const log = await open(topic);
      const { id, origin } = await firstOf(log);
      await using reader = log.open(id, origin);
      expect(await reader.next(AbortSignal.timeout(200))).toBeUndefined();
      await kafka().admin.deleteTopics({ topics: [topic] });
      await expect(reader.next(never)).rejects.toMatchObject({
        code: 'LOG_REPLACED',
        message: expect.stringContaining('no topic'),
      });
      expect(await log.append([outgoing('acme', 'x')])).toMatchObject([{ code: 'LOG_REPLACED' }]);
    });

    test('KAF-5: retention that passed a reader stops it with where the log begins now', async () => {
      const topic = await kafka().topic(1, { 'segment.bytes': '1048576' });
      const log = await open(topic);
      const lineage = await firstOf(log);
      const value = new Uint8Array(400_000).fill(7);
      for (let n = 0; n < 8; n += 1) demandWritten(await log.append([{ routingKey: 'acme', value }]));
      await using reader = log.open(lineage.id, position(1));
      await configure(topic, 'retention.bytes', '1000000');
      await eventually(async () => (await log.bounds(lineage.id)).first > position(2), 'retention has passed');
      const { first } = await log.bounds(lineage.id);
      await expect(reader.next(never)).rejects.toMatchObject({
        code: 'LOG_TRIMMED',
        kind: 'fatal',
        message: expect.stringContaining(`it begins at ${first}; ${Number(first) - 1} places are gone`),
      });
    });
  });

  describe('foreign producers', () => {
    test('with another partitioner or no key are read where they wrote, and are not at home there', async () => {
      const topic = await kafka().topic(3);
      const log = await open(topic, { partitions: 3 });
      const producer = kafka().client.producer();
      await producer.connect();
      const messages = [
        { key: 'acme', value: 'acme' },
        { key: null, value: 'no key' },
        { key: Buffer.from([0xff, 0x00, 0x61]), value: 'no text' },
      ];
      for (const partition of [0, 1, 2])
        await producer.send({ topic, messages: messages.map((message) => ({ ...message, partition })) });
      await producer.send({ topic, messages: [{ key: 'acme', value: null, partition: 0 }] });
      await producer.disconnect();
      const lineages = await log.lineages();
      expect(lineages.map((lineage) => lineage.owns('acme')).filter(Boolean)).toHaveLength(1);
      for (const [n, lineage] of lineages.entries()) {
        const records = await readToEnd(log, lineage);
        expect(records.slice(0, 3).map(({ key }) => key)).toEqual(['acme', null, '\ufffd\ufffda']);
        expect(records.map(textOf)).toEqual(['acme', 'no key', 'no text', ...(n === 0 ? [''] : [])]);
      }
    });

    test('the partitioner of Java clients, which kafkajs has, agrees with ours on every home', async () => {
      const topic = await kafka().topic(5);
      const log = await open(topic, { partitions: 5 });
      const producer = kafka().client.producer();
      await producer.connect();
      const keys = Array.from({ length: 200 }, (_, n) => `tenant-${n}${n % 3 === 0 ? `#${n}` : ''}ü`);
      await producer.send({ topic, messages: keys.map((key) => ({ key, value: key })) });
      await producer.disconnect();
      for (const lineage of await log.lineages()) {
        for (const { key } of await readToEnd(log, lineage)) expect(lineage.owns(key!)).toBe(true);
      }
    });

    test('KAF-6: partitions that were added move no home, own no key, and get control records', async () => {
      const topic = await kafka().topic(2);
      const log = await open(topic, { partitions: 2 });
      const before = await log.lineages();
      const homes = (all: typeof before): (string | undefined)[] =>
        Array.from({ length: 50 }, (_, n) => all.find((lineage) => lineage.owns(`t${n}`))?.id);
      const then = homes(before);
      const ids = before.map(({ id }) => id);
      await kafka().admin.createPartitions({ topicPartitions: [{ topic, count: 4 }] });
      await eventually(async () => (await log.lineages()).length === 4, 'they are seen');
      const now = await log.lineages();
      expect(now.slice(0, 2).map(({ id }) => id)).toEqual(ids);
      expect(homes(now)).toEqual(then);
      await eventually(() => log.control({ type: 'tick' }).then(() => true), 'they take records');
      const added = await readToEnd(log, now[3]!);
      expect(added.at(-1)?.control).toEqual({ type: 'tick' });
      demandWritten(await log.append(Array.from({ length: 50 }, (_, n) => outgoing(`t${n}`, `t${n}`))));
      expect((await readToEnd(log, now[2]!)).filter(({ control }) => control === undefined)).toEqual([]);
      // As a start after that sees it.
      expect(homes(await (await open(topic, { partitions: 2 })).lineages())).toEqual(then);
    });
  });
});
