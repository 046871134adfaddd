/** Events at the edge, and what meters make of them. */
import type { Facts } from '../contract.ts';
import type { FactsPorts } from './facts-ports.ts';
import type { Logger } from './log.ts';
import { counter, counters } from './metrics.ts';

export function edgeFacts({ registry: r, logger }: FactsPorts): Pick<Facts, 'accepted' | 'refused'> {
  const accepted = counter(r, { name: 'meterfold_events_accepted_total', help: 'Events that the log acknowledged' });
  const refused = counters(r, { name: 'meterfold_events_refused_total', help: 'Events refused at the edge' }, 'code');
  return {
    accepted: (events) => {
      accepted(events);
      logger.debug({ events }, 'events accepted');
    },
    refused: (code, events) => {
      refused(code, events);
      logger.debug({ code, events }, 'events refused');
    },
  };
}

export function meterFacts({ registry: r, logger }: FactsPorts): Pick<Facts, 'unmetered' | 'skippedMeter' | 'otherGroup'> {
  const of = (name: string, help: string, label: string) =>
    counters(r, { name: `meterfold_events_${name}_total`, help }, label);
  const unmetered = of('unmetered', 'Events that no meter uses', 'event_type');
  const skipped = of('skipped', 'Events without the value that a meter needs', 'meter');
  const other = of('other_group', 'Events whose group lies beyond the bound on groups', 'meter');
  const tellOnce = tellingOnce(logger);
  return {
    unmetered: (eventType, events) => {
      unmetered(eventType, events);
      tellOnce(`type ${eventType}`, { eventType }, 'no meter uses this event type');
    },
    skippedMeter: (meter, events) => {
      skipped(meter, events);
      tellOnce(`meter ${meter}`, { meter }, 'an event lacks the value that this meter needs: the meter skips it');
    },
    otherGroup: (meter, events) => {
      other(meter, events);
      tellOnce(`groups ${meter}`, { meter }, 'more groups than the bound in one minute: the rest counts as other');
    },
  };
}

/** Bounds the memory of what was told: event types come from callers. */
const MAX_TOLD = 1000;

/** The first of its kind is worth a line; the metric counts the rest. */
function tellingOnce(logger: Logger) {
  const told = new Set<string>();
  return (key: string, fields: Record<string, unknown>, line: string): void => {
    if (told.size >= MAX_TOLD || told.has(key)) return;
    told.add(key);
    logger.warn(fields, line);
  };
}
