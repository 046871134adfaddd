/** Segments on their way from the lane to the batch view, and what fills stores again. */
import type { Facts } from '../contract.ts';
import type { FactsPorts } from './facts-ports.ts';
import { counter, counters, seconds } from './metrics.ts';

type SegmentFacts = Pick<
  Facts,
  'sealed' | 'adopted' | 'gapped' | 'published' | 'healing' | 'filled' | 'serving' | 'rebuilt'
>;

export function segmentFacts({ registry: r, logger }: FactsPorts): SegmentFacts {
  const sealed = counters(r, { name: 'meterfold_segments_sealed_total', help: 'Segments in the archive' }, 'lineage');
  const sealedRecords = counter(r, {
    name: 'meterfold_records_sealed_total',
    help: 'Records of sealed segments, whatever became of them',
  });
  const adopted = counter(r, {
    name: 'meterfold_archive_adopted_total',
    help: 'Objects that were there already, with the same records in other bytes',
  });
  const gaps = counters(
    r,
    { name: 'meterfold_log_gaps_total', help: 'Times that the log had let go of what was not read yet' },
    'lineage',
  );
  const missing = counters(
    r,
    { name: 'meterfold_log_gap_places_total', help: 'Places of the log that were let go of before they were read' },
    'lineage',
  );
  const sealedBytes = counter(r, { name: 'meterfold_archive_bytes_total', help: 'Bytes of sealed objects' });
  const sealing = seconds(r, { name: 'meterfold_seal_seconds', help: 'Time to put and record one segment' });
  const published = counters(
    r,
    { name: 'meterfold_segments_published_total', help: 'Segments in the batch view' },
    'lineage',
  );
  const publishedEvents = counter(r, { name: 'meterfold_events_published_total', help: 'Events of published segments' });
  const publishing = seconds(r, { name: 'meterfold_publish_seconds', help: 'Time to publish one segment' });
  const healed = counters(
    r,
    { name: 'meterfold_buckets_healed_total', help: 'Empty or lost buckets filled again' },
    'lineage',
  );
  const filled = counters(
    r,
    { name: 'meterfold_segments_filled_total', help: 'Segments filled into a meter version' },
    'meter',
  );
  const rebuilt = counters(
    r,
    { name: 'meterfold_rebuilds_total', help: 'Rebuilds of the batch view by how they ended' },
    'outcome',
  );
  return {
    rebuilt: (outcome, differences) => {
      rebuilt(outcome);
      logger[outcome === 'flipped' ? 'info' : 'warn']({ outcome, differences }, 'rebuild of the batch view is over');
    },
    filled: (meter, lineage, segments, of) => {
      filled(meter);
      logger.debug({ meter, lineage, segments, of }, 'meter version filled');
    },
    serving: (meter) => {
      logger.info({ meter }, 'meter version answers');
    },
    sealed: ({ lineage, segment, records, object }, elapsed) => {
      sealed(lineage);
      sealedRecords(records);
      sealedBytes(object?.bytes ?? 0);
      sealing(elapsed);
      logger.debug({ lineage, segment, records, bytes: object?.bytes ?? 0, seconds: elapsed }, 'segment sealed');
    },
    adopted: (lineage, segment) => {
      adopted(1);
      logger.warn({ lineage, segment }, 'the archive holds the same records in other bytes: they stand');
    },
    gapped: ({ lineage, segment, end: to }, { from, places }) => {
      gaps(lineage);
      missing(lineage, places ?? 0);
      logger.error(
        { lineage, segment, from, to, places },
        'records are lost: the log had let go of them before they were read',
      );
    },
    published: (lineage, segment, events, elapsed) => {
      published(lineage);
      publishedEvents(events);
      publishing(elapsed);
      logger.debug({ lineage, segment, events, seconds: elapsed }, 'segment published');
    },
    healing: (lineage, buckets) => {
      healed(lineage, buckets);
      logger.info({ lineage, buckets }, 'live counters are being filled');
    },
  };
}
