/** Gaps of the log, as answers know them: which of them may have taken usage from a range, and who knows of it. */
import type { Catalog, Cut, ListedGap } from '../contract.ts';
import { FUTURE_BOUND_MS } from '../domain/epoch.ts';
import { gapsBelow } from '../domain/incarnation.ts';
import { formatTime } from '../domain/time.ts';

/** A gap that may have taken usage from the range of an answer. */
export interface GapProof {
  readonly lineage: string;
  /** Every record before `from` was read, none between, those from `to` on are. */
  readonly from: string;
  readonly to: string;
  /** At most so many records are missing; null where the log cannot tell. */
  readonly places: number | null;
  /** Usage of these times may be missing, ISO 8601; null: of any time before `until`. */
  readonly since: string | null;
  readonly until: string;
  readonly found_at: string;
  readonly acknowledged_at: string | null;
  readonly note: string | null;
}

const isoOf = (ms: number): string => formatTime(ms * 1000);

/**
 * What is lost arrived between the last record before the gap and when it was found. Its events are at most the future bound
 * newer than that, and as old as the edge takes them; nothing was read before a gap at the start of a lineage.
 */
const sinceOf = ({ arrival }: ListedGap, pastBoundMs: number): number | undefined =>
  arrival === 0 || arrival <= pastBoundMs ? undefined : arrival - pastBoundMs;
const untilOf = ({ at }: ListedGap): number => at + FUTURE_BOUND_MS;

export function gapProof(gap: ListedGap, pastBoundMs: number): GapProof {
  const since = sinceOf(gap, pastBoundMs);
  return {
    lineage: gap.lineage,
    from: gap.from,
    to: gap.to,
    places: gap.places,
    since: since === undefined ? null : isoOf(since),
    until: isoOf(untilOf(gap)),
    found_at: isoOf(gap.at),
    acknowledged_at: gap.acknowledged === null ? null : isoOf(gap.acknowledged.at),
    note: gap.acknowledged?.note ?? null,
  };
}

const MS_PER_MINUTE = 60_000;

/** Gaps as this process knows them: looked for on a timer, and whenever an answer has folded one that is not known yet. */
export class KnownGaps {
  readonly #catalog: Pick<Catalog, 'gaps'>;
  readonly #pastBoundMs: number;
  #known: readonly ListedGap[] = [];

  constructor(catalog: Pick<Catalog, 'gaps'>, pastBoundMs: number) {
    this.#catalog = catalog;
    this.#pastBoundMs = pastBoundMs;
  }

  get all(): readonly ListedGap[] {
    return this.#known;
  }

  async look(): Promise<void> {
    this.#known = await this.#catalog.gaps();
  }

  /**
   * Those that may have taken usage from a range, minutes since 1970, of an answer with these cuts. Whose usage it was nobody
   * knows: a foreign producer may write any tenant into any lineage.
   */
  async touching(cuts: ReadonlyMap<string, Cut>, edges: readonly number[]): Promise<GapProof[]> {
    if (gapsBelow(cuts) > this.#known.length) await this.look();
    const [from, to] = [(edges[0] ?? 0) * MS_PER_MINUTE, (edges.at(-1) ?? 0) * MS_PER_MINUTE];
    return this.#known
      .filter((gap) => from < untilOf(gap) && to > (sinceOf(gap, this.#pastBoundMs) ?? Number.NEGATIVE_INFINITY))
      .map((gap) => gapProof(gap, this.#pastBoundMs));
  }
}
