import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { outgoing } from '../../src/conformance/source.ts';
import { type KafkaLog, openKafkaLog } from '../../src/sources/kafka/log.ts';
import { eventually, describeKafka } from '../support/kafka-services.ts';
import { readWithKafkajs } from '../support/kafka-oracle.ts';

const PARTITIONS = 6;
/** Acknowledged events that show something. */
const ENOUGH = 1000;

describeKafka('the Kafka log while leaders change', { nodes: 3 }, (kafka) => {
  const open = (topic: string): Promise<KafkaLog> =>
    openKafkaLog({
      brokers: kafka().brokers,
      topic,
      partitions: PARTITIONS,
      clock: systemClock,
      lingerMs: 1,
      patienceMs: 60_000,
    });

  /** Sends events of their own, over all partitions, until told to stop. Answers what was acknowledged, and what failed. */
  function pump(log: KafkaLog): { count(): number; stop(): Promise<{ acknowledged: Map<string, string>; failed: number }> } {
    const acknowledged = new Map<string, string>();
    let [failed, sent, isOver] = [0, 0, false];
    const one = async (): Promise<void> => {
      while (!isOver) {
        const texts = Array.from({ length: 30 }, () => `event ${(sent += 1)}`);
        const outcomes = await log.append(texts.map((text) => outgoing(text, text)));
        outcomes.forEach((outcome, n) => {
          if (outcome instanceof Error) failed += 1;
          else acknowledged.set(texts[n]!, `${outcome.lineage} ${outcome.position}`);
        });
      }
    };
    // Several at once, so that a request of one partition is under way while another's leader moves.
    const running = Promise.all(Array.from({ length: 4 }, one));
    return {
      count: () => acknowledged.size,
      stop: async () => {
        isOver = true;
        await running;
        return { acknowledged, failed };
      },
    };
  }

  /** What kafkajs's own consumer finds, which shares nothing with our reader but the connection. */
  async function compare(topic: string, log: KafkaLog, acknowledged: ReadonlyMap<string, string>): Promise<void> {
    const found = await readWithKafkajs(kafka(), topic);
    const uuid = (await log.lineages())[0]!.id.split('.')[1]!;
    const places = new Map<string, string[]>();
    for (const { partition, offset, value } of found) {
      const place = `kafka.${uuid}.${partition} ${String(offset).padStart(20, '0')}`;
      places.set(value, [...(places.get(value) ?? []), place]);
    }
    const lost = [...acknowledged].filter(([text, place]) => !places.get(text)?.includes(place));
    const twice = [...acknowledged.keys()].filter((text) => (places.get(text)?.length ?? 0) > 1);
    expect({ lost, twice }).toEqual({ lost: [], twice: [] });
  }

  const leaders = async (topic: string): Promise<number[]> =>
    (await kafka().admin.fetchTopicMetadata({ topics: [topic] })).topics[0]!.partitions.sort(
      (a, b) => a.partitionId - b.partitionId,
    ).map(({ leader }) => leader);

  test('KAF-8: leaders move while events are written: none that was acknowledged is lost or twice', async () => {
    const topic = await kafka().topic(PARTITIONS);
    const log = await open(topic);
    const pumping = pump(log);
    let moved = 0;
    // A machine that is busy acknowledges less between two moves.
    for (let move = 0; move < 12 || (pumping.count() <= ENOUGH && move < 100); move += 1) {
      const before = await leaders(topic);
      const partitionAssignment = before.map((_, partition) => {
        const first = ((partition + move) % 3) + 1;
        return { partition, replicas: [first, (first % 3) + 1] };
      });
      await kafka().admin.alterPartitionReassignments({ topics: [{ topic, partitionAssignment }] });
      await eventually(async () => {
        const now = await leaders(topic);
        return partitionAssignment.every(({ partition, replicas }) => replicas.includes(now[partition]!));
      }, 'the reassignment is done');
      moved += (await leaders(topic)).filter((leader, n) => leader !== before[n]).length;
    }
    const { acknowledged, failed } = await pumping.stop();
    expect(moved).toBeGreaterThan(12);
    expect(acknowledged.size).toBeGreaterThan(ENOUGH);
    expect(failed).toBe(0);
    await compare(topic, log, acknowledged);
    await log.close();
  }, 180_000);

  test('KAF-8: a leader is killed and started again while events are written: none that was acknowledged is lost or twice', async () => {
    const topic = await kafka().topic(PARTITIONS);
    const log = await open(topic);
    const pumping = pump(log);
    const [victim] = await leaders(topic);
    await kafka().own!.kill(victim!);
    await eventually(async () => !(await leaders(topic)).includes(victim!), 'others lead');
    await kafka().own!.start(victim!);
    await eventually(async () => {
      const { partitions } = (await kafka().admin.fetchTopicMetadata({ topics: [topic] })).topics[0]!;
      return partitions.every(({ isr }) => isr.length === 3);
    }, 'all replicas are in sync');
    const { acknowledged, failed } = await pumping.stop();
    expect(failed).toBe(0);
    expect(acknowledged.size).toBeGreaterThan(1000);
    await compare(topic, log, acknowledged);
    await log.close();
  }, 180_000);
});
