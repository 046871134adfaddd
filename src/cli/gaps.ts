/** `meterfold gaps list` and `meterfold gaps acknowledge`. */
import type { GapProof } from '../serving/gaps.ts';
import type { Ask } from './ask.ts';
import type { JsonFlag } from './checks.ts';
import { json, type Streams, table } from './output.ts';

/** Answers 1 where a gap waits to be acknowledged. */
export async function gapsCommand(flags: JsonFlag, ask: Ask, streams: Streams): Promise<number> {
  const found = await ask((asker) => asker.get<{ readonly gaps: readonly GapProof[] }>('/v1/gaps'));
  streams.out(flags.json === true ? json(found) : listText(found.gaps));
  return found.gaps.some((gap) => gap.acknowledged_at === null) ? 1 : 0;
}

function listText(gaps: readonly GapProof[]): string {
  if (gaps.length === 0) return 'no gaps: whatever the log held was read';
  const rows = gaps.map((gap) => [
    ...[gap.lineage, gap.from, gap.to, gap.places === null ? '–' : String(gap.places)],
    ...[gap.since ?? '–', gap.until, gap.found_at],
    gap.acknowledged_at === null ? 'NOT ACKNOWLEDGED' : `${gap.acknowledged_at}: ${gap.note ?? ''}`,
  ]);
  const names = ['lineage', 'from', 'to', 'at most', 'usage since', 'usage until', 'found', 'acknowledged'];
  return table(names, rows, new Set([3]));
}

export interface AcknowledgeFlags extends JsonFlag {
  readonly note: string;
}

export async function acknowledgeCommand(
  gap: { readonly lineage: string; readonly from: string },
  { note, ...flags }: AcknowledgeFlags,
  ask: Ask,
  streams: Streams,
): Promise<number> {
  const found = await ask((asker) => asker.post<GapProof>('/v1/gaps/acknowledge', { ...gap, note }));
  streams.out(flags.json === true ? json(found) : listText([found]));
  return 0;
}
