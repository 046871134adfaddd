/** One broker of Kafka, with a topic as docs/kafka.md asks for it. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { KafkaNode, propertiesOf } from '../../test/support/kafka-node.ts';
import { containKafka, kafka as service } from '../../test/support/services/kafka.ts';
import type { Ports, Server } from './server.ts';

const TOPIC = 'usage';
/** As many as the default of the setting `partitions`. */
const PARTITIONS = 4;

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

async function command(jars: string, dir: string, [client, controller]: Ports): Promise<[string, string[]]> {
  const node = new KafkaNode(dir, jars, '384m');
  const listeners = {
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    listeners: `PLAINTEXT://127.0.0.1:${client},CONTROLLER://127.0.0.1:${controller}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${client}`,
  };
  node.configure(propertiesOf(dir, 1, listeners));
  if (!(await isThere(join(dir, 'data', 'meta.properties')))) node.format();
  return node.command();
}

async function withAdmin<T>(brokers: string, work: (admin: Admin) => Promise<T>): Promise<T> {
  const retry = { retries: 0 };
  const admin = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING, retry }).admin();
  try {
    await admin.connect();
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

const answers = (brokers: string): Promise<boolean> =>
  withAdmin(brokers, (admin) => admin.describeCluster()).then(
    ({ controller }) => controller !== null,
    () => false,
  );

async function furnish(brokers: string): Promise<void> {
  await withAdmin(brokers, async (admin) => {
    if ((await admin.listTopics()).includes(TOPIC)) return;
    const configEntries = [{ name: 'message.timestamp.type', value: 'LogAppendTime' }];
    // Waiting for leaders throws although the topic is made.
    await admin.createTopics({
      waitForLeaders: false,
      topics: [{ topic: TOPIC, numPartitions: PARTITIONS, configEntries }],
    });
  });
}

export const kafka: Server = {
  service,
  stop: 'SIGTERM',
  address: (host, port) => `${host}:${port}`,
  command,
  contain: containKafka,
  answers,
  furnish,
  settings: (kafkaBrokers) => ({ kafkaBrokers, kafkaTopic: TOPIC, kafkaMinInsyncReplicas: '1' }),
};
