/**
 * Which Kafka the suites run against: METERFOLD_TEST_KAFKA_BROKERS (host:port, by commas), else brokers of one's own from
 * fetched jars. In CI a missing one fails.
 */
import { randomUUID } from 'node:crypto';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { afterAll, beforeAll, describe } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { KAFKA_VERSION, kafkaJars } from './kafka-jars.ts';
import { type KafkaOptions, type KafkaServers, startKafka } from './kafka-server.ts';
import { missing, report } from './services.ts';

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

const given = (process.env.METERFOLD_TEST_KAFKA_BROKERS ?? '').split(',').filter((broker) => broker !== '');

/** The suite on Kafka: given brokers where any will do, else brokers of one's own (`own`: it kills them, or counts on their defaults). */
export function describeKafka(
  title: string,
  options: KafkaOptions & { readonly own?: boolean },
  suite: (kafka: () => TestKafka) => void,
): void {
  const isGiven = given.length > 0 && !(options.own ?? (options.nodes === 3 || options.secure === true));
  const name = isGiven ? `Kafka at ${given.join(',')}` : `Apache Kafka ${KAFKA_VERSION}`;
  if (!isGiven && kafkaJars() === undefined)
    return void missing(title, name, 'set METERFOLD_TEST_KAFKA_BROKERS, or have Java and Maven fetch one');
  describe(`${title} on ${name}`, () => {
    let kafka: TestKafka | undefined;
    beforeAll(async () => {
      const own = isGiven ? undefined : await startKafka(options);
      kafka = await connectKafka(own?.brokers ?? given, own);
    }, 300_000);
    afterAll(async () => {
      await kafka?.close();
      report(title, name, 'ran');
    });
    suite(() => kafka!);
  });
}
