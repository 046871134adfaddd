/** Kafka: brokers and leaders that die, connections whose far end is gone, records in the wrong place, more partitions. */
import { type Fault, marks, type Scene, type Seen } from '../fault.ts';
import { eventually } from '../../support/kafka-services.ts';
import { ROLES, sealQuickly } from '../installation.ts';
import type { TcpProxy } from '../proxy.ts';

export const proxiesTo = ({ installation }: Scene, server: 'kafka' | 'redis' | 'postgres' | 's3'): readonly TcpProxy[] =>
  ROLES.flatMap((role) => installation.servers.proxies(role, server));

const AWAY_MS = 3000;

const broker: Fault = {
  name: 'SIGKILL of a broker of Kafka, started again',
  inCi: true,
  strike: async ({ installation, wait }) => {
    const { kafka } = installation.servers.parts;
    await kafka.kill(1);
    await wait(AWAY_MS);
    await kafka.start(1);
    return {};
  },
  bites: marks,
};

/** The leader of a partition dies; the others elect another, and it comes back as a follower. */
const leader: Fault = {
  name: 'SIGKILL of the leaders of two partitions, one after the other',
  needs: ({ brokers }) => brokers === 3,
  strike: async ({ installation, say, wait }) => {
    const { kafka, client, topic } = installation.servers.parts;
    for (const partition of [0, 1]) {
      const { topics } = await client.admin.fetchTopicMetadata({ topics: [topic] });
      const found = topics[0]?.partitions.find(({ partitionId }) => partitionId === partition)?.leader ?? 1;
      say(`the leader of partition ${partition} is ${found}: SIGKILL`);
      await kafka.kill(found);
      await wait(2 * AWAY_MS);
      await kafka.start(found);
      await wait(AWAY_MS);
    }
    return {};
  },
  bites: marks,
};

const halfOpen: Fault = {
  name: 'half-open connections to Kafka',
  strike: async (scene) => {
    const proxies = proxiesTo(scene, 'kafka');
    const before = proxies.reduce((sum, { did }) => sum + did.forgotten, 0);
    for (const proxy of proxies) proxy.forget();
    await scene.wait(AWAY_MS);
    return { 'connections half open': proxies.reduce((sum, { did }) => sum + did.forgotten, 0) - before };
  },
  bites: marks,
};

const relayed = (seen: Seen) => ({ 'records brought home': seen.counter('meterfold_records_relayed_total') });

/** Meanwhile the foreign producer puts so many of its records elsewhere than in their home. */
export async function misrouting<T>({ load }: Scene, share: number, work: () => Promise<T>): Promise<T> {
  const usual = load.misroutes;
  load.misroutes = share;
  try {
    return await work();
  } finally {
    load.misroutes = usual;
  }
}

const wrongPartitioner: Fault = {
  name: 'a producer with a wrong partitioner',
  strike: async (scene) => {
    await misrouting(scene, 1, () => scene.wait(10_000));
    return {};
  },
  bites: relayed,
};

/** Homes stay where they are; a producer that follows the new count misses them. */
const morePartitions: Fault = {
  name: 'partitions added, and a producer that uses them',
  strike: async (scene) => {
    const { installation, load, oracle, wait } = scene;
    const { client, topic } = installation.servers.parts;
    const count = (await client.admin.fetchTopicOffsets(topic)).length + 1;
    await client.admin.createPartitions({ topicPartitions: [{ topic, count }] });
    await eventually(async () => (await client.admin.fetchTopicOffsets(topic)).length === count, 'the partition is there');
    await sealQuickly(client, topic, [count - 1]);
    await oracle.stop();
    await oracle.start();
    load.partitions = count;
    await misrouting(scene, 0.5, () => wait(15_000));
    return {};
  },
  bites: relayed,
};

export const kafkaFaults: readonly Fault[] = [broker, leader, halfOpen, wrongPartitioner, morePartitions];
