/** The topic that is caught up with, and what is true of it. */
import { Kafka, logLevel } from 'kafkajs';
import { Workload } from '../lib/workload.mjs';

const CHUNK = 5000;

export interface Topic {
  readonly name: string;
  readonly events: number;
  readonly bytes: number;
  /** Distinct events, and their sum in thousandths. */
  readonly count: number;
  readonly sum: number;
  /** Distinct (tenant, minute). */
  readonly cells: number;
}

export interface TopicOptions {
  readonly brokers: readonly string[];
  readonly name: string;
  readonly events: number;
  readonly partitions: number;
  readonly tenants: number;
  readonly seed: number;
}

/** Keyed by tenant, as Java clients place keys. Times lie in the last 50 minutes: nothing is older than what is kept. */
export async function fillTopic({ brokers, name, events, partitions, tenants, seed }: TopicOptions): Promise<Topic> {
  const kafka = new Kafka({ clientId: 'bench', brokers: [...brokers], logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  const configEntries = [
    { name: 'message.timestamp.type', value: 'LogAppendTime' },
    { name: 'retention.ms', value: '-1' },
  ];
  await admin.createTopics({ waitForLeaders: false, topics: [{ topic: name, numPartitions: partitions, configEntries }] });
  const workload = new Workload({ seed, tenants, hours: 50 / 60 });
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, retry: { retries: 50 } });
  await producer.connect();
  let bytes = 0;
  for (let made = 0; made < events; made += CHUNK) {
    const messages = Array.from({ length: Math.min(CHUNK, events - made) }, () => {
      const { tenant, text } = workload.one();
      bytes += text.length;
      return { key: tenant, value: text };
    });
    await producer.send({ topic: name, messages });
  }
  await producer.disconnect();
  await admin.disconnect();
  const { count, sum, cells } = workload;
  return { name, events, bytes, count, sum, cells: cells.size };
}
