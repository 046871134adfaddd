/** What is in a topic, as kafkajs's own consumer reads it: it shares the connection with our reader, and nothing above it. */
import type { TestKafka } from './kafka-services.ts';
import { eventually } from './kafka-services.ts';

export interface Found {
  readonly partition: number;
  readonly offset: number;
  readonly value: string;
}

type Ends = Awaited<ReturnType<TestKafka['admin']['fetchTopicOffsets']>>;

/** While leaders move kafkajs's admin fails at once, and does not look who leads now: a new one does. */
async function endsOf(client: TestKafka['client'], topic: string): Promise<Ends> {
  let ends: Ends = [];
  const look = async (): Promise<boolean> => {
    const admin = client.admin();
    await admin.connect();
    try {
      ends = await admin.fetchTopicOffsets(topic);
      return true;
    } finally {
      await admin.disconnect();
    }
  };
  await eventually(look, `${topic} tells its ends`);
  return ends;
}

/**
 * Reads every partition from its beginning to its end of now. What was aborted is among it: kafkajs, asked to leave that out,
 * lets some of it through where two transactions overlap and end the other way round.
 */
export async function readWithKafkajs({ client }: Pick<TestKafka, 'client'>, topic: string): Promise<Found[]> {
  const found = new Map<string, Found>();
  const reached = new Map<number, number>();
  const consumer = client.consumer({ groupId: `oracle-${topic}`, maxWaitTimeInMs: 100, readUncommitted: true });
  await consumer.connect();
  try {
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatch: ({ batch }) => {
        reached.set(batch.partition, Number(batch.lastOffset()) + 1);
        for (const { offset, value } of batch.messages) {
          const at = { partition: batch.partition, offset: Number(offset), value: value?.toString() ?? '' };
          found.set(`${at.partition} ${at.offset}`, at);
        }
        return Promise.resolve();
      },
    });
    const ends = await endsOf(client, topic);
    const isRead = (): boolean =>
      ends.every(({ partition, low, high }) => low === high || (reached.get(partition) ?? 0) >= Number(high));
    await eventually(() => Promise.resolve(isRead()), `${topic} is read`);
  } finally {
    await consumer.disconnect();
  }
  return [...found.values()];
}
