/** The state of a cell that no database adds up, as text: a unique count or the readings of a gauge. */
import type { Accumulators } from './cell.ts';
import { decodeDistinct, DistinctBuilder, encodeDistinct } from './distinct.ts';
import { addReading, decodeReadings, encodeReadings, type Reading } from './gauge.ts';

export type CellState = Pick<Accumulators, 'distinct' | 'readings'>;

/** Null where a cell has none. Equal states have equal texts. */
export function encodeState({ distinct, readings }: CellState): string | null {
  if (distinct !== undefined) return encodeDistinct(distinct);
  return readings === undefined ? null : encodeReadings(readings);
}

/** The merge of states. Throws RangeError for texts that `encodeState` cannot have made. */
export function mergeStates(texts: readonly (string | null)[]): CellState {
  const [counts, readings] = [new DistinctBuilder(), new Map<number, Reading>()];
  let kind: 'distinct' | 'readings' | undefined;
  for (const text of texts) {
    if (text === null) continue;
    kind = text.startsWith('R') ? 'readings' : 'distinct';
    if (kind === 'distinct') counts.merge(decodeDistinct(text));
    else for (const reading of decodeReadings(text).values()) addReading(readings, reading);
  }
  if (kind === undefined) return {};
  return kind === 'distinct' ? { distinct: counts.build() } : { readings };
}
