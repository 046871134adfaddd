import { systemClock } from '../../src/clock.ts';
import { type LogFixture, sourceConformance } from '../../src/conformance/source.ts';
import { type KafkaLog, type KafkaLogOptions, openKafkaLog } from '../../src/sources/kafka/log.ts';
import { describeKafka } from '../support/kafka-services.ts';

const PARTITIONS = 3;

describeKafka('the Kafka log', {}, (kafka) => {
  sourceConformance('Kafka log', async (): Promise<LogFixture> => {
    const { own, brokers } = kafka();
    const topic = await kafka().topic(PARTITIONS);
    const logs: KafkaLog[] = [];
    const open = async (to: readonly string[], more: Partial<KafkaLogOptions> = {}): Promise<KafkaLog> => {
      const quick = { minInsyncReplicas: 1, patienceMs: 1000, connectMs: 1000, fetchWaitMs: 100, lingerMs: 0 };
      const log = await openKafkaLog({ brokers: to, topic, partitions: PARTITIONS, clock: systemClock, ...quick, ...more });
      logs.push(log);
      return log;
    };
    const outage = (): Promise<() => Promise<void>> => {
      own?.flaky.proxy.cut();
      return Promise.resolve(async () => own?.flaky.proxy.restore());
    };
    return {
      log: await open(own === undefined ? brokers : [own.flaky.broker]),
      again: () => open(brokers),
      batch: { records: 2000, bytes: 1024 * 1024 },
      ...(own === undefined ? {} : { outage }),
      close: async () => {
        for (const log of logs) await log.close();
      },
    };
  });
});
