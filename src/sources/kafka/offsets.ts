/** Where a partition begins and ends, and taking away its beginning. */
import { MeterError } from '../../errors.ts';
import type { Cluster } from './cluster.ts';

const [LATEST, EARLIEST] = [-1, -2];
const READ_UNCOMMITTED = 0;

/** The first offset that is kept, and the one that the next record gets. Throws LOG_UNAVAILABLE, LOG_REPLACED. */
export async function offsetBounds(
  cluster: Cluster,
  partition: number,
  what: string,
): Promise<{ readonly first: number; readonly end: number }> {
  const [first, end] = [
    await offsetAt(cluster, partition, EARLIEST, what),
    await offsetAt(cluster, partition, LATEST, what),
  ];
  // Asked by name: whether they are those of the topic that was opened is known now.
  await cluster.refresh();
  return { first, end };
}

function offsetAt(cluster: Cluster, partition: number, timestamp: number, what: string): Promise<number> {
  const topics = [{ topic: cluster.topic, partitions: [{ partition, timestamp }] }];
  return cluster.withLeader(partition, what, async ({ node }) => {
    const { responses } = await cluster.links.with(node, 'look', (broker) =>
      broker.listOffsets({ isolationLevel: READ_UNCOMMITTED, topics }),
    );
    const offset = Number(responses[0]?.partitions[0]?.offset ?? Number.NaN);
    if (!Number.isSafeInteger(offset)) throw new MeterError('LOG_UNAVAILABLE', `${what}: no offset came back`);
    return offset;
  });
}

/** Forgets what lies before an offset, never past the end. Answers how many places went. */
export async function trimTo(cluster: Cluster, partition: number, before: number, what: string): Promise<number> {
  const { first, end } = await offsetBounds(cluster, partition, what);
  const to = Math.min(before, end);
  if (to <= first) return 0;
  const topics = [{ topic: cluster.topic, partitions: [{ partition, offset: String(to) }] }];
  await cluster.withLeader(partition, what, ({ node }) =>
    cluster.links.with(node, 'look', (broker) => broker.deleteRecords({ topics })),
  );
  return to - first;
}
