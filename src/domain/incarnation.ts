/**
 * Incarnations of buckets say how many gaps of the log lay below the cuts when they were minted. A bucket of before a gap may
 * have counted what is lost, in segments that end elsewhere: it is as good as lost, to whoever reads it and whoever writes.
 */
interface Gapped {
  readonly gaps?: number;
}

/** How many gaps a batch view has folded: it only grows, and means the same gaps to everyone. */
export const gapsBelow = (cuts: ReadonlyMap<string, Gapped>): number =>
  [...cuts.values()].reduce((sum, { gaps = 0 }) => sum + gaps, 0);

/** `unique` was never used before. */
export const incarnationBehind = (gaps: number, unique: string): string =>
  gaps === 0 ? unique : `gaps-${String(gaps)}.${unique}`;

/** How many gaps this incarnation was minted behind. */
export const gapsOf = (incarnation: string | undefined): number =>
  Number(/^gaps-(\d{1,15})\./.exec(incarnation ?? '')?.[1] ?? 0);
