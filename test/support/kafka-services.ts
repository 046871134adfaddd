/** Suites on Kafka. */
import { randomUUID } from 'node:crypto';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { afterAll, beforeAll } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { freePort } from './free-port.ts';
import { type KafkaOptions, type KafkaServers, startKafka } from './kafka-server.ts';
import { containKafka, kafka } from './services/kafka.ts';
import { describeService } from './services/suites.ts';
import type { Found } from './services/ways.ts';

export interface TestKafka {
  readonly brokers: readonly string[];
  /** Undefined where they are not ours. */
  readonly own: KafkaServers | undefined;
  /** A client that is not ours to test: topics are made with it, and what ours wrote is read with it. */
  readonly client: Kafka;
  readonly admin: Admin;
  /** Answers its name, once every partition has a leader. */
  topic(partitions: number, config?: Readonly<Record<string, string>>, name?: string): Promise<string>;
  close(): Promise<void>;
}

export async function eventually(holds: () => Promise<boolean>, what: string): Promise<void> {
  for (const deadline = performance.now() + 30_000; performance.now() < deadline;) {
    if (await holds().catch(() => false)) return;
    await systemClock.sleep(50);
  }
  throw new Error(`not within 30 s: ${what}`);
}

export async function connectKafka(brokers: readonly string[], own?: KafkaServers): Promise<TestKafka> {
  const retry = { initialRetryTime: 50, maxRetryTime: 500, retries: 60 };
  const client = new Kafka({ clientId: 'oracle', brokers: [...brokers], logLevel: logLevel.NOTHING, retry });
  const admin = client.admin();
  await admin.connect();
  const made: string[] = [];
  const topic: TestKafka['topic'] = async (partitions, config = {}, name = `meterfold-test-${randomUUID()}`) => {
    made.push(name);
    const configEntries = Object.entries({ 'message.timestamp.type': 'LogAppendTime', ...config }).map(([key, value]) => ({
      name: key,
      value,
    }));
    // Waiting for leaders throws although the topic is made.
    await admin.createTopics({ waitForLeaders: false, topics: [{ topic: name, numPartitions: partitions, configEntries }] });
    await eventually(async () => (await admin.fetchTopicOffsets(name)).length === partitions, `topic ${name} is there`);
    return name;
  };
  const close = async (): Promise<void> => {
    // Of brokers that are not ours, what was made is removed; ours are removed whole.
    if (own === undefined) await admin.deleteTopics({ topics: made }).catch(() => undefined);
    await admin.disconnect();
    await own?.stop();
  };
  return { brokers, own, client, admin, topic, close };
}

async function open(found: Found, options: KafkaOptions): Promise<TestKafka> {
  switch (found.way) {
    case 'given':
      return connectKafka(found.url.split(','));
    case 'Docker':
      return connectContained(found.image);
    case 'program':
    case 'fetched': {
      const own = await startKafka(options);
      return connectKafka(own.brokers, own);
    }
  }
}

async function connectContained(image: string): Promise<TestKafka> {
  const port = await freePort();
  const { stop } = await containKafka(image, port);
  const kafka = await connectKafka([`127.0.0.1:${port}`]);
  return {
    ...kafka,
    close: async () => {
      await kafka.close();
      await stop();
    },
  };
}

/** The suite on Kafka: any broker, or brokers of one's own (`own`: it kills them, or counts on their defaults). */
export function describeKafka(
  title: string,
  options: KafkaOptions & { readonly own?: boolean },
  suite: (kafka: () => TestKafka) => void,
): void {
  const isOwn = options.own ?? (options.nodes === 3 || options.secure === true);
  describeService(title, kafka, isOwn ? 'own' : 'any', (found) => {
    let opened: TestKafka | undefined;
    beforeAll(async () => {
      opened = await open(found, options);
    }, 300_000);
    afterAll(() => opened?.close());
    suite(() => opened!);
  });
}
