/** What users' processors do to events. */
import type { Facts } from '../contract.ts';
import type { FactsPorts } from './facts-ports.ts';
import { counters } from './metrics.ts';

/** Frames of a stack without its message: that may hold what an event did. */
const framesOf = (error: Error): string[] => {
  const stack = error.stack ?? '';
  const behind = error.message === '' ? 0 : stack.indexOf(error.message) + error.message.length;
  return stack
    .slice(behind)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('at '));
};
const kindOfError = (error: unknown): Record<string, unknown> =>
  error instanceof Error ? { error: error.constructor.name, at: framesOf(error).slice(0, MAX_FRAMES) } : {};
const MAX_FRAMES = 5;

export function processorFacts({
  registry: r,
  logger,
}: FactsPorts): Pick<Facts, 'filtered' | 'processorFaulted' | 'processorChanged'> {
  const filtered = counters(r, { name: 'meterfold_events_filtered_total', help: 'Events that a processor dropped' }, 'code');
  const faults = counters(
    r,
    { name: 'meterfold_processor_faults_total', help: 'Events that a processor failed on' },
    'processor',
  );
  return {
    filtered: (code, events) => {
      filtered(code, events);
      logger.debug({ code, events }, 'events filtered');
    },
    processorFaulted: (processor, what, error) => {
      faults(processor);
      logger.error({ processor, what, ...kindOfError(error) }, 'a processor failed on an event');
    },
    processorChanged: (processor, from, to) => {
      logger.info({ processor, from: from ?? null, to: to ?? null }, 'a processor has changed');
    },
  };
}
