/** `meterfold rebuild`: the batch view anew from the archive, compared with the live one, and put in its place. */
import { systemClock } from '../clock.ts';
import type { ViewDifference } from '../contract.ts';
import type { Ask, Asker } from './ask.ts';
import type { JsonFlag } from './checks.ts';
import { json, type Streams, table } from './output.ts';

export interface RebuildFlags extends JsonFlag {
  readonly acceptDifferences?: boolean;
  readonly drop?: boolean;
}

interface Status {
  readonly state: 'none' | 'left' | 'running' | 'flipped' | 'differs' | 'failed';
  readonly segments: number;
  readonly of_segments: number;
  readonly differences: readonly ViewDifference[];
  readonly detail?: string;
}

/** Between two looks, and between two lines of progress, ms. */
const LOOK_MS = 200;
const SAY_MS = 5000;

async function untilOver(asker: Asker, streams: Streams, stop: AbortSignal): Promise<Status> {
  for (let said = systemClock.now(); ;) {
    const status = await asker.get<Status>('/v1/rebuild');
    if (status.state !== 'running' || stop.aborted) return status;
    if (systemClock.now() - said >= SAY_MS) {
      said = systemClock.now();
      const waits = status.detail === undefined ? '' : `, waiting: ${status.detail}`;
      streams.err(`${status.segments} of ${status.of_segments} segments${waits}`);
    }
    await systemClock.sleep(LOOK_MS, stop);
  }
}

/** Answers 1 where the views differ and the live one stays, or the rebuild failed. */
export async function rebuildCommand(
  { acceptDifferences = false, drop = false, json: asJson = false }: RebuildFlags,
  ask: Ask,
  streams: Streams,
  stop: AbortSignal,
): Promise<number> {
  const status = await ask(async (asker) => {
    if (drop) return asker.delete<Status>('/v1/rebuild');
    await asker.post<Status>(`/v1/rebuild${acceptDifferences ? '?accept_differences=1' : ''}`);
    return untilOver(asker, streams, stop);
  });
  streams.out(asJson ? json(status) : statusText(status));
  return status.state === 'differs' || status.state === 'failed' ? 1 : 0;
}

function statusText({ state, differences, segments, of_segments: of, detail = '' }: Status): string {
  const rows = differences.map((d) => [d.table, d.key, d.live ?? '–', d.rebuilt ?? '–']);
  const shown = rows.length === 0 ? [] : [table(['table', 'key', 'live', 'rebuilt'], rows, new Set())];
  return [
    ...shown,
    `${OUTCOME[state]}${detail === '' ? '' : `: ${detail}`} (${segments} of ${of} segments built by this run)`,
  ].join('\n');
}

const OUTCOME: Readonly<Record<Status['state'], string>> = {
  none: 'nothing is being rebuilt',
  left: 'stopped; run it again and it goes on',
  running: 'still running in the server',
  flipped: 'the rebuilt view answers now',
  differs: 'NOT EQUAL: the live view stays; --accept-differences puts the rebuilt one in its place, --drop gives it up',
  failed: 'FAILED, the live view stays',
};
