/** `meterfold broker expand`. */
import { MeterError } from '../errors.ts';
import type { Expanded } from '../sources/generations/expand.ts';
import type { Ask } from './ask.ts';
import type { JsonFlag } from './checks.ts';
import { json, type Streams, table } from './output.ts';

export interface ExpandFlags extends JsonFlag {
  readonly topic: string;
  readonly partitions?: string;
}

/** Throws BAD_REQUEST, and what asking throws; asking again goes on where it stopped. */
export async function expandCommand(flags: ExpandFlags, ask: Ask, streams: Streams): Promise<number> {
  const { topic, partitions } = flags;
  const wanted = { topic, ...(partitions === undefined ? {} : { partitions: numberOf(partitions) }) };
  const done = await ask((asker) => asker.post<Expanded>('/v1/broker/expand', wanted));
  streams.out(flags.json === true ? json(done) : doneText(done));
  return 0;
}

function numberOf(text: string): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (number > 0) return number;
  throw new MeterError('BAD_REQUEST', 'partitions is no number', { field: 'partitions', value: text, allowed: '1 or more' });
}

const doneText = ({ generation, topic, partitions, ends }: Expanded): string =>
  [
    `generation ${String(generation)} of the log is the topic ${topic} with ${String(partitions)} partitions`,
    table(
      ['lineage', 'ends at'],
      ends.map(({ lineage, end }) => [lineage, end]),
      new Set(),
    ),
    'producers of this installation follow within seconds; what others still write into the old topic comes home until its retention ends',
  ].join('\n');
