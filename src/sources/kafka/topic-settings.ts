/** What makes a topic an immutable log (P4 of the protocol). Checked at each start: without one of these, numbers could go wrong. */
import { MeterError } from '../../errors.ts';
import type { Cluster } from './cluster.ts';

const TOPIC = 2;

interface Demand {
  readonly name: string;
  readonly holds: (value: string) => boolean;
  readonly allowed: string;
  /** What would happen otherwise. */
  readonly reason: string;
}

const demands = (minInsyncReplicas: number): readonly Demand[] => [
  {
    name: 'cleanup.policy',
    holds: (value) => !value.includes('compact'),
    allowed: 'delete',
    reason: 'compaction takes usage away',
  },
  {
    name: 'message.timestamp.type',
    holds: (value) => value === 'LogAppendTime',
    allowed: 'LogAppendTime',
    reason: 'arrival is the time of the broker, not of whoever produces',
  },
  {
    name: 'unclean.leader.election.enable',
    holds: (value) => value === 'false',
    allowed: 'false',
    reason: 'such a leader forgets what was acknowledged',
  },
  {
    name: 'min.insync.replicas',
    holds: (value) => Number(value) >= minInsyncReplicas,
    allowed: `at least ${minInsyncReplicas}`,
    reason: 'what fewer hold may be lost after its acknowledgement',
  },
];

/** Throws LOG_MISCONFIGURED, which names every setting that is wrong, and LOG_UNAVAILABLE. */
export async function demandSettings(cluster: Cluster, minInsyncReplicas: number): Promise<void> {
  const found = await settingsOf(cluster);
  const wrong = demands(minInsyncReplicas).filter(({ name, holds }) => !holds(found.get(name) ?? ''));
  const thin = cluster.partitions.find(({ replicas }) => replicas < minInsyncReplicas);
  const facts = wrong.map(({ name, reason }) => `${name} is ${found.get(name) ?? 'not told'}: ${reason}`);
  const allowed = wrong.map((demand) => `${demand.name}=${demand.allowed}`);
  const few = `partition ${String(thin?.index)} has ${String(thin?.replicas)} replicas: it takes no record of acks=all`;
  const all = thin === undefined ? facts : [...facts, few];
  if (all.length === 0) return;
  throw new MeterError('LOG_MISCONFIGURED', `open the topic ${cluster.topic}: ${all.join('; ')}`, {
    field: wrong.map(({ name }) => name).join(', '),
    allowed: allowed.join(', '),
  });
}

function settingsOf(cluster: Cluster): Promise<ReadonlyMap<string, string>> {
  const configNames = demands(0).map(({ name }) => name);
  const resources = [{ type: TOPIC, name: cluster.topic, configNames }];
  return cluster.withAny(`look up the settings of ${cluster.topic}`, async (node) => {
    const answer = await cluster.links.with(node, 'look', (broker) => broker.describeConfigs({ resources }));
    const entries = answer.resources[0]?.configEntries ?? [];
    return new Map(entries.map(({ configName, configValue }) => [configName, configValue ?? '']));
  });
}
