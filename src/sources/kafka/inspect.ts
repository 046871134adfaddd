/** What a cluster, its topic and a group must be before anything is entrusted to them: asked, and nothing joined or written. */
import { kindOf, MeterError } from '../../errors.ts';
import { type Cluster, unavailable } from './cluster.ts';
import { PROTOCOL } from './group.ts';
import { clusterOf, demandTopic } from './log.ts';
import { DEFAULTS, type KafkaLogOptions } from './options.ts';
import { demandSettings } from './topic-settings.ts';

const PURPOSE = 'check';
const GROUP = 0;

/** The steps, in the order in which they make sense. Each answers what it found, or throws why not. */
export interface KafkaInspection extends AsyncDisposable {
  topic(): Promise<string>;
  settings(): Promise<string>;
  group(groupId: string): Promise<string>;
}

export async function inspectKafka(options: KafkaLogOptions): Promise<KafkaInspection> {
  const cluster = await clusterOf(options);
  return {
    topic: async () => {
      await demandTopic(cluster, options);
      const { topic, partitions, uuid } = cluster;
      return `${topic} has ${String(partitions.length)} partitions and the uuid ${uuid}`;
    },
    settings: async () => {
      const least = options.minInsyncReplicas ?? DEFAULTS.minInsyncReplicas;
      await demandSettings(cluster, least);
      return `an immutable log; writes are acknowledged by at least ${String(least)}`;
    },
    group: (groupId) => patiently(options, () => lookAtGroup(cluster, groupId)),
    [Symbol.asyncDispose]: () => cluster.links.close(),
  };
}

/** Between two tries, ms. */
const AGAIN_MS = 250;

/** A cluster that was never asked for a group makes the topic for it now, and knows no coordinator until that is there. */
async function patiently<T>(
  { clock, patienceMs = DEFAULTS.patienceMs }: KafkaLogOptions,
  look: () => Promise<T>,
): Promise<T> {
  for (const began = clock.now(); ;) {
    try {
      return await look();
    } catch (error) {
      if (kindOf(error) !== 'transient' || Math.abs(clock.now() - began) >= patienceMs) throw error;
    }
    await clock.sleep(AGAIN_MS);
  }
}

/** Throws LOG_MISCONFIGURED for a group of another kind: its members and ours would refuse each other. */
async function lookAtGroup(cluster: Cluster, groupId: string): Promise<string> {
  const what = `look at the group ${groupId}`;
  try {
    const { coordinator } = await cluster.withAny(what, (node) =>
      cluster.links.with(node, PURPOSE, (broker) => broker.findGroupCoordinator({ groupId, coordinatorType: GROUP })),
    );
    const { groups } = await cluster.links.with({ host: coordinator.host, port: coordinator.port }, PURPOSE, (broker) =>
      broker.describeGroups({ groupIds: [groupId] }),
    );
    const { protocolType = '', members = [] } = groups[0] ?? {};
    demandOurs(groupId, protocolType);
    return members.length === 0 ? `${groupId} has no members yet` : `${groupId} has ${String(members.length)} workers`;
  } catch (error) {
    throw unavailable(error, what);
  }
}

function demandOurs(groupId: string, protocolType: string): void {
  if (protocolType === '' || protocolType === PROTOCOL) return;
  throw new MeterError('LOG_MISCONFIGURED', `look at the group ${groupId}: it is one of ${protocolType}s`, {
    field: 'kafkaGroup',
    value: groupId,
    allowed: 'a name that no other software uses on this cluster',
  });
}
