/** Records in the lanes, and on their way home through the outbox. */
import type { Facts } from '../contract.ts';
import type { FactsPorts } from './facts-ports.ts';
import { counter, counters, gauges } from './metrics.ts';

export function laneFacts({ registry: r, logger }: FactsPorts): Pick<Facts, 'applied' | 'cropped' | 'ticked'> {
  const applied = counters(
    r,
    { name: 'meterfold_records_applied_total', help: 'Records given to the speed layer' },
    'lineage',
  );
  const reached = gauges(
    r,
    {
      name: 'meterfold_applied_arrival_seconds',
      help: 'Arrival up to which this process has given records to the speed layer, seconds since 1970',
    },
    'lineage',
  );
  const cropped = counters(
    r,
    { name: 'meterfold_records_cropped_total', help: 'Replayed records below a fence' },
    'lineage',
  );
  const ticked = counter(r, { name: 'meterfold_ticks_total', help: 'Ticks written into every lineage' });
  return {
    applied: (lineage, records, arrival) => {
      applied(lineage, records);
      reached(lineage, arrival / 1000);
      logger.trace({ lineage, records }, 'records applied');
    },
    cropped: (lineage, records) => {
      cropped(lineage, records);
      logger.debug({ lineage, records }, 'replayed records cropped');
    },
    ticked: () => {
      ticked(1);
    },
  };
}

type StrayFacts = Pick<Facts, 'rejected' | 'misrouted' | 'redriven' | 'relayed'>;

export function strayFacts({ registry: r, logger }: FactsPorts): StrayFacts {
  const rejected = counters(r, { name: 'meterfold_records_rejected_total', help: 'Records kept as rejects' }, 'code', [
    'KEY_CONFLICT',
  ]);
  const misrouted = counter(r, {
    name: 'meterfold_records_misrouted_total',
    help: 'Records that lay in another lineage than their home, and went into the outbox',
  });
  const redriven = counters(
    r,
    { name: 'meterfold_rejects_redriven_total', help: 'Rejects put into the outbox once more' },
    'code',
  );
  const relayed = counter(r, { name: 'meterfold_records_relayed_total', help: 'Misrouted or redriven records sent home' });
  return {
    rejected: (code, records) => {
      rejected(code, records);
      logger.debug({ code, records }, 'records rejected');
    },
    misrouted: (records) => {
      misrouted(records);
      logger.debug({ records }, 'misrouted records put into the outbox');
    },
    redriven: (code, rejects) => {
      redriven(code, rejects);
      logger.info({ code, rejects }, 'rejects redriven');
    },
    relayed: (records) => {
      relayed(records);
      logger.info({ records }, 'misrouted or redriven records sent home');
    },
  };
}
