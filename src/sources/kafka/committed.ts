/** Which records of a fetch count: those of committed transactions, and those outside of any. */
import type { Aborted } from './api-fetch.ts';
import type { RecordBatch } from './batches.ts';

/** The key of a marker is its version and its type, of 16 bits each. */
const isAbortMarker = ({ isControl, records }: RecordBatch): boolean => isControl && records[0]?.key?.readInt16BE(2) === 0;

/**
 * Leaves out the markers and what was aborted. `aborted` are the transactions that reach into these batches, by their ends, as the
 * broker lists them: each begins at its first offset, and ends with its producer's abort marker.
 */
export function committed(batches: readonly RecordBatch[], aborted: readonly Aborted[]): RecordBatch[] {
  const ahead = [...aborted].sort((a, b) => a.first - b.first);
  const open = new Set<bigint>();
  return batches.filter((batch) => {
    for (let next = ahead[0]; next !== undefined && next.first <= batch.last; next = ahead[0]) {
      open.add(next.producer);
      ahead.shift();
    }
    if (isAbortMarker(batch)) open.delete(batch.producer);
    return !batch.isControl && !(batch.isTransactional && open.has(batch.producer));
  });
}
