/**
 * One merged answer: the batch view as of its cuts, plus the speed cells of segments at or above them. Exact for every cut
 * at or above the floors, so it does not matter which snapshot was taken.
 */
import type { BatchSnapshot, BatchView, BucketState, Cut, RollupQuery, SpeedCell, SpeedStore } from '../contract.ts';
import { END } from '../contract.ts';
import type { Cell } from '../domain/cell.ts';
import { gapsBelow, gapsOf } from '../domain/incarnation.ts';
import { MeterError } from '../errors.ts';
import { demandFloors, demandSame } from '../domain/restored.ts';

export interface MergedPorts {
  readonly batch: Pick<BatchView, 'snapshot'>;
  readonly speed: Pick<SpeedStore, 'read' | 'database'>;
}

export interface Merged {
  readonly cuts: ReadonlyMap<string, Cut>;
  /** Rolled up to the query's windows. */
  readonly batch: readonly Cell[];
  /** By minute. */
  readonly live: readonly SpeedCell[];
  /** Undefined where the speed layer could not be reached: the answer is then exact as of the cuts. */
  readonly states: readonly BucketState[] | undefined;
}

/** Snapshots tried before the reader gives up: the collector works with a grace, so a second one is rare. */
const SNAPSHOTS = 5;

/** A floor above the snapshot's cut: cells were collected that this snapshot does not hold yet. So is a gap that it has not folded. */
const isBehind = (states: readonly BucketState[], cuts: ReadonlyMap<string, Cut>): boolean => {
  const gaps = gapsBelow(cuts);
  return states.some(
    ({ floors, incarnation }) =>
      gapsOf(incarnation) > gaps || [...floors].some(([lineage, floor]) => floor > (cuts.get(lineage)?.segments ?? 0)),
  );
};

const NOTHING_LIVE = { incarnation: undefined, fences: new Map(), floors: new Map(), cells: [] };
/** A bucket of before a gap that the snapshot has folded is as good as empty: it may hold what is lost. */
const withoutLost = (states: readonly BucketState[], cuts: ReadonlyMap<string, Cut>): readonly BucketState[] => {
  const gaps = gapsBelow(cuts);
  return states.map((state) => (gapsOf(state.incarnation) < gaps ? { ...state, ...NOTHING_LIVE } : state));
};

async function readSpeed(
  ports: MergedPorts,
  query: RollupQuery,
  buckets: readonly number[],
): Promise<readonly BucketState[] | undefined> {
  try {
    return await ports.speed.read(buckets, query);
  } catch (error) {
    if (error instanceof MeterError && error.kind === 'transient') return undefined;
    throw error;
  }
}

export async function readMerged(ports: MergedPorts, query: RollupQuery, buckets: readonly number[]): Promise<Merged> {
  let before: readonly BucketState[] = [];
  for (let attempt = 0; attempt < SNAPSHOTS; attempt += 1) {
    const { cuts, cells: batch, incarnation }: BatchSnapshot = await ports.batch.snapshot(query);
    demandSame(ports.speed, incarnation);
    // A floor is of a cut that was committed before: a later snapshot has it, unless the database was put back.
    demandFloors(before, cuts);
    const found = await readSpeed(ports, query, buckets);
    before = found ?? before;
    const states = found && withoutLost(found, cuts);
    if (states !== undefined && isBehind(states, cuts)) continue;
    const isLive = (cell: SpeedCell): boolean => cell.segment >= (cuts.get(cell.lineage)?.segments ?? 0);
    const live = (states ?? []).flatMap(({ cells }) => cells.filter(isLive));
    return { cuts, batch, live, states };
  }
  throw new MeterError('OVERLOADED', 'read: the batch view moved on between snapshot and speed layer, every time', {
    retryAfterMs: 1000,
  });
}

/** How far an answer reaches in one lineage of one bucket. */
export interface Reach {
  readonly bucket: number;
  readonly lineage: string;
  /** max(cut, fence): every record before it is in the answer, none behind it. */
  readonly position: string;
  /** Running maximum of arrival before it, ms. */
  readonly arrival: number;
  /** Newest version of the rule set that anything in the answer was measured under. */
  readonly rules: number;
  readonly cut: Cut;
  /** Undefined where the speed layer has no fence, or was not reached. */
  readonly fence: string | undefined;
}

const NOTHING: Cut = { segments: 0, position: '', arrival: 0, rules: 0 };

/** The reach of an answer in every lineage that its buckets could hold. */
export function reachOf(merged: Merged, buckets: readonly number[], lineages: readonly string[]): Reach[] {
  const states = new Map((merged.states ?? []).map((state) => [state.bucket, state]));
  return buckets.flatMap((bucket) =>
    lineages.map((lineage): Reach => {
      const cut = merged.cuts.get(lineage) ?? NOTHING;
      const fence = states.get(bucket)?.fences.get(lineage);
      const { position, arrival } = fence !== undefined && fence.position > cut.position ? fence : cut;
      const rules = Math.max(cut.rules, fence?.rules ?? 0);
      return { bucket, lineage, position, arrival, rules, cut, fence: fence?.position };
    }),
  );
}

/** Whether the speed layer answers for this lineage: it has a fence, or there is nothing left to wait for. */
export const isCovered = ({ fence, cut }: Reach): boolean => fence !== undefined || cut.position === END;
