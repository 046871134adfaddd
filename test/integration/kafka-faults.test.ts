import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { demandWritten, outgoing, textOf } from '../../src/conformance/source.ts';
import type { Compression } from '../../src/sources/kafka/compression.ts';
import { firstOf, openerOf, readToEnd } from '../support/kafka-logs.ts';
import { readWithKafkajs } from '../support/kafka-oracle.ts';
import { describeKafka, eventually } from '../support/kafka-services.ts';

const never = new AbortController().signal;

describeKafka('faults of the Kafka log', { own: true }, (kafka) => {
  const open = openerOf(kafka);
  const through = (): { brokers: string[] } => ({ brokers: [kafka().own!.flaky.broker] });

  describe('a producer', () => {
    test('KAF-9: whose answer was lost sends the same batch again, and the log has it once', async () => {
      const topic = await kafka().topic(1);
      const log = await open(topic, { ...through(), patienceMs: 20_000 });
      const lineage = await firstOf(log);
      demandWritten(await log.append([outgoing('acme', 'before')]));
      const cut = kafka().own!.flaky.proxy.loseReplies();
      const pending = log.append([outgoing('acme', 'lost 1'), outgoing('acme', 'lost 2')]);
      await eventually(async () => (await kafka().admin.fetchTopicOffsets(topic))[0]?.high === '3', 'it is written');
      cut();
      const written = demandWritten(await pending);
      expect(written.map((place) => Number(place.position))).toEqual([1, 2]);
      demandWritten(await log.append([outgoing('acme', 'after')]));
      expect((await readToEnd(log, lineage)).map(textOf)).toEqual(['before', 'lost 1', 'lost 2', 'after']);
    });

    test('KAF-9: that gave a batch up, which was written all the same, never takes its place for another one', async () => {
      const topic = await kafka().topic(1);
      const log = await open(topic, { ...through(), patienceMs: 300 });
      const lineage = await firstOf(log);
      demandWritten(await log.append([outgoing('acme', 'before')]));
      const { proxy } = kafka().own!.flaky;
      const cut = proxy.loseReplies();
      const pending = log.append([outgoing('acme', 'given up')]);
      await eventually(async () => (await kafka().admin.fetchTopicOffsets(topic))[0]?.high === '2', 'it is written');
      proxy.cut();
      cut();
      expect(await pending).toMatchObject([{ code: 'LOG_UNAVAILABLE' }]);
      proxy.restore();
      // Under the old id and sequence the broker would answer with the place of the first one, and write nothing.
      const [written] = demandWritten(await log.append([outgoing('acme', 'another')]));
      expect(Number(written?.position)).toBe(2);
      expect((await readToEnd(log, lineage)).map(textOf)).toEqual(['before', 'given up', 'another']);
    });

    test('is told of a record that is too large, and of that one alone', async () => {
      const topic = await kafka().topic(1, { 'max.message.bytes': '20000' });
      const log = await open(topic, { lingerMs: 5 });
      const large = { routingKey: 'acme', value: new Uint8Array(30_000) };
      const some = Array.from({ length: 40 }, (_, n) => ({ routingKey: 'acme', value: randomBytes(900 + n) }));
      const outcomes = await log.append([...some, large, ...some]);
      expect(outcomes.map((outcome) => (outcome instanceof Error ? outcome : undefined)).filter(Boolean)).toMatchObject([
        { code: 'TOO_LARGE', kind: 'invalid' },
      ]);
      expect(outcomes[40]).toBeInstanceOf(Error);
      const records = await readToEnd(log, await firstOf(log));
      expect(records.map(({ value }) => value.length)).toEqual([...some, ...some].map(({ value }) => value.length));
    });

    test('sends what comes while a batch is under way in the next one, up to its bounds', async () => {
      const topic = await kafka().topic(1);
      const log = await open(topic, { batchBytes: 10_000 });
      const appends = Array.from({ length: 300 }, (_, n) =>
        log.append([{ routingKey: 'acme', value: Buffer.alloc(996, n) }]),
      );
      for (const outcomes of await Promise.all(appends)) demandWritten(outcomes);
      // As another client sees it: records of one batch have one arrival and one producer's sequence.
      const arrivals = new Set((await readToEnd(log, await firstOf(log))).map(({ arrival }) => arrival));
      expect(arrivals.size).toBeLessThanOrEqual(31);
      expect(await readWithKafkajs(kafka(), topic)).toHaveLength(300);
    });
  });

  test('a broker that is killed and started again is waited for, by readers and writers, and has lost nothing', async () => {
    const topic = await kafka().topic(2);
    const log = await open(topic, { partitions: 2, patienceMs: 60_000, lingerMs: 1 });
    let [sent, isOver] = [0, false];
    const acknowledged: string[] = [];
    const pumping = (async () => {
      while (!isOver) {
        const text = `event ${(sent += 1)}`;
        const [outcome] = await log.append([outgoing(text, text)]);
        if (!(outcome instanceof Error)) acknowledged.push(text);
        await systemClock.sleep(1);
      }
    })();
    const read: string[] = [];
    const stop = new AbortController();
    const readers = (await log.lineages()).map(async ({ id, origin }) => {
      await using reader = log.open(id, origin);
      for (let batch = await reader.next(stop.signal); batch !== undefined; batch = await reader.next(stop.signal))
        read.push(...batch.records.map(textOf));
    });
    await eventually(() => Promise.resolve(acknowledged.length > 100), 'some are written');
    await kafka().own!.kill(1);
    const before = acknowledged.length;
    await systemClock.sleep(300);
    await kafka().own!.start(1);
    await eventually(() => Promise.resolve(acknowledged.length > before + 100), 'it goes on');
    isOver = true;
    await pumping;
    await eventually(() => Promise.resolve(read.length >= acknowledged.length), 'all of it is read');
    stop.abort();
    await Promise.all(readers);
    expect(acknowledged).toHaveLength(sent);
    expect(read.toSorted()).toEqual(acknowledged.toSorted());
    expect((await readWithKafkajs(kafka(), topic)).map(({ value }) => value).toSorted()).toEqual(acknowledged.toSorted());
  }, 120_000);

  test('a reader that is given up while the broker is away ends at once', async () => {
    const topic = await kafka().topic(1);
    const log = await open(topic, { ...through(), patienceMs: 60_000, fetchWaitMs: 5000 });
    const { id, origin } = await firstOf(log);
    const { proxy } = kafka().own!.flaky;
    {
      await using reader = log.open(id, origin);
      expect(await reader.next(AbortSignal.timeout(100))).toBeUndefined();
      proxy.cut();
      expect(await reader.next(AbortSignal.timeout(100))).toBeUndefined();
    }
    proxy.restore();
    demandWritten(await log.append([outgoing('acme', 'x')]));
    await using reader = log.open(id, origin);
    expect((await reader.next(never))?.records.map(textOf)).toEqual(['x']);
  });

  describe('compression', () => {
    const texts = Array.from({ length: 700 }, (_, n) => `${n} ${'usage '.repeat(n % 40)}${randomBytes(20).toString('hex')}`);

    for (const codec of ['gzip', 'snappy', 'lz4', 'zstd'] as const) {
      test(`KAF-10: ${codec} as brokers write it is read`, async () => {
        // The broker unpacks what it is sent and packs it anew, in its own implementation.
        const topic = await kafka().topic(1, { 'compression.type': codec });
        const log = await open(topic);
        demandWritten(await log.append(texts.map((text) => outgoing('acme', text))));
        const lineage = await firstOf(log);
        const records = await readToEnd(log, lineage);
        expect(records.map(textOf)).toEqual(texts);
        // From the middle of a batch.
        expect((await readToEnd(log, lineage, records[333]!.position)).map(textOf)).toEqual(texts.slice(333));
      });

      test(`${codec} as we write it is unpacked by brokers`, async () => {
        const topic = await kafka().topic(1, { 'compression.type': 'uncompressed' });
        const canWrite = codec !== 'zstd' || Number(process.versions.node.split('.')[0]) >= 23;
        const opened = open(topic, { compression: codec as Compression });
        if (!canWrite) return void (await expect(opened).rejects.toMatchObject({ code: 'BAD_CONFIG' }));
        const log = await opened;
        demandWritten(await log.append(texts.map((text) => outgoing('acme', text))));
        expect((await readToEnd(log, await firstOf(log))).map(textOf)).toEqual(texts);
      });
    }
  });
});
