/** Bytes to verdict in one step, by the same processors as the worker's lane: for records that are asked about outside of one. */
import type { Judged, LogRecord, Processor, RuleSets } from '../contract.ts';
import type { Kept } from '../domain/kept.ts';
import { decode } from './decode.ts';
import { validate } from './validate.ts';

export function judge(ruleSets: Pick<RuleSets, 'get'>, kept: Kept): Processor<LogRecord, Judged> {
  const [decoding, validating] = [decode(), validate(ruleSets, kept)];
  return {
    name: 'judge',
    process: (record, at) => validating.process(decoding.process(record, at), at),
  };
}
