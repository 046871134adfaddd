/** The proof of an answer: how far it reaches, lineage by lineage, and whether anything is missing. */
import { CUT_END } from '../contract.ts';
import type { GapProof } from './gaps.ts';
import type { Reach } from './merged.ts';
import { isCovered } from './merged.ts';

/** What may be wrong with a lineage for longer than a moment. */
export type Trouble = 'lineage_stopped';
/**
 * The closed list of reasons for an answer that is exact only as of the cut; or, for a `gap` that nobody has acknowledged, of
 * what the log did not let go of before it was read.
 */
export type Reason = 'speed_unreachable' | 'speed_healing' | 'gap' | Trouble;

export interface LineageProof {
  readonly lineage: string;
  /** Segments folded into the batch view, and where that ends; null segments once the lineage is closed and folded. */
  readonly batch: { readonly segments: number | null; readonly position: string };
  /** The fence in each bucket that the answer read. */
  readonly speed: readonly { readonly bucket: number; readonly fence: string | null }[];
  /** Every record before it is in the answer, none behind it: the least over the buckets, and each bucket's own. */
  readonly reaches: readonly { readonly bucket: number; readonly position: string }[];
}

export interface Proof {
  readonly state: 'exact' | 'provisional';
  readonly reason?: Reason;
  /** Everything that arrived at the broker before this is in the answer. ISO 8601, UTC. */
  readonly as_of: string;
  readonly lineages: readonly LineageProof[];
  /** What the log let go of before it was read, and may belong into this range: acknowledged or not. Absent where nothing. */
  readonly gaps?: readonly GapProof[];
}

/** What an answer is known to lack beside how far it reaches. */
export interface Lacks {
  /** Whether the speed layer was reached. */
  readonly reached: boolean;
  readonly trouble: (lineage: string) => Trouble | undefined;
  readonly gaps: readonly GapProof[];
}

function reasonOf(reach: readonly Reach[], { reached, trouble, gaps }: Lacks): Reason | undefined {
  if (!reached) return 'speed_unreachable';
  if (gaps.some((gap) => gap.acknowledged_at === null)) return 'gap';
  for (const { lineage } of reach) {
    const found = trouble(lineage);
    if (found !== undefined) return found;
  }
  return reach.every(isCovered) ? undefined : 'speed_healing';
}

function lineageProof(lineage: string, reach: readonly Reach[]): LineageProof {
  const cut = reach[0]?.cut;
  const segments = cut?.segments === CUT_END ? null : (cut?.segments ?? 0);
  return {
    lineage,
    batch: { segments, position: cut?.position ?? '' },
    speed: reach.map(({ bucket, fence }) => ({ bucket, fence: fence ?? null })),
    reaches: reach.map(({ bucket, position }) => ({ bucket, position })),
  };
}

/** Everything that arrived before is in the answer, ms. Lineages that are closed and folded hold nothing back: they do not date it. */
export function asOfMs(reach: readonly Reach[]): number {
  const open = reach.filter(({ cut }) => cut.segments !== CUT_END);
  return open.length === 0 ? Math.max(0, ...reach.map((r) => r.arrival)) : Math.min(...open.map((r) => r.arrival));
}

export function proofOf(reach: readonly Reach[], lacks: Lacks): Proof {
  const reason = reasonOf(reach, lacks);
  const ids = [...new Set(reach.map((r) => r.lineage))];
  return {
    state: reason === undefined ? 'exact' : 'provisional',
    ...(reason === undefined ? {} : { reason }),
    as_of: new Date(asOfMs(reach)).toISOString(),
    lineages: ids.map((id) =>
      lineageProof(
        id,
        reach.filter((r) => r.lineage === id),
      ),
    ),
    ...(lacks.gaps.length === 0 ? {} : { gaps: lacks.gaps }),
  };
}
