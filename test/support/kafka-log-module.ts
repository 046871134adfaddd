/** What the setting `logModule` names in tests of the whole product on Kafka. */
import type { LogModuleOptions, OpenedLog } from '../../src/log-module.ts';
import { openKafkaLog } from '../../src/sources/kafka/log.ts';

export const VARIABLE = 'MF_TEST_KAFKA_LOG';

/** Brokers and topic come from the environment: the product knows only its settings. */
export function openLog({ config, clock }: LogModuleOptions): Promise<OpenedLog> {
  const { brokers, topic } = JSON.parse(process.env[VARIABLE] ?? '{}') as { brokers: string[]; topic: string };
  const quick = { minInsyncReplicas: 1, fetchWaitMs: 100, lingerMs: 1 };
  return openKafkaLog({ brokers, topic, partitions: config.partitions, clock, cloudEvents: true, ...quick });
}
