/** Logs over one test's topic, closed with it. */
import { afterEach } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { Lineage, LogRecord, Source } from '../../src/contract.ts';
import { type KafkaLog, type KafkaLogOptions, openKafkaLog } from '../../src/sources/kafka/log.ts';
import type { TestKafka } from './kafka-services.ts';

export type Open = (topic: string, more?: Partial<KafkaLogOptions>) => Promise<KafkaLog>;

/** Fails within a second or two, and asks nothing of how many copies one broker keeps. */
const QUICK = {
  partitions: 1,
  minInsyncReplicas: 1,
  patienceMs: 1500,
  connectMs: 1000,
  fetchWaitMs: 100,
  lingerMs: 0,
} as const;

export function openerOf(kafka: () => TestKafka): Open {
  let opened: KafkaLog[] = [];
  afterEach(async () => {
    const all = opened;
    opened = [];
    for (const log of all) await log.close();
  });
  return async (topic, more = {}) => {
    const log = await openKafkaLog({ brokers: kafka().brokers, topic, clock: systemClock, ...QUICK, ...more });
    opened.push(log);
    return log;
  };
}

export const firstOf = async (log: Source): Promise<Lineage> => (await log.lineages())[0]!;

/** From its beginning to its end of now, markers passed over. */
export async function readToEnd(log: Source, { id, origin }: Lineage, from = origin): Promise<LogRecord[]> {
  const { end } = await log.bounds(id);
  const records: LogRecord[] = [];
  await using reader = log.open(id, from);
  for (let at = from; at < end;) {
    const batch = (await reader.next(new AbortController().signal))!;
    if (batch.from !== at) throw new Error(`a batch starts at ${batch.from}, not at ${at}`);
    records.push(...batch.records);
    at = batch.next;
  }
  return records;
}
