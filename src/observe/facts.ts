/**
 * What operators see: one method per fact, its log line and its metric together. Plain closures without `this`, so that a
 * caller may wrap or lend single methods. Names of lineages, codes and types are logged; what events contain never is.
 */
import type { Facts } from '../contract.ts';
import { FAILURES } from '../errors.ts';
import type { Logger } from './log.ts';
import { counter, counters, countersBy, gauges, type Registry, seconds, secondsBy } from './metrics.ts';

/** Facts of the HTTP edge. */
export interface HttpFacts {
  /** `route` is the declared pattern, never the caller's path. */
  answered(request: {
    readonly route: string;
    readonly method: string;
    readonly status: number;
    readonly seconds: number;
  }): void;
  /** A request met an error that is not the caller's. */
  failed(route: string, code: string, error: unknown): void;
}

/** What is waited for now, with what it failed with last; what stopped for good is among it. */
export interface Waits {
  waits(): readonly { readonly what: string; readonly why: string }[];
}

export interface FactsPorts {
  readonly registry: Registry;
  readonly logger: Logger;
}

export function openFacts(ports: FactsPorts): Facts & HttpFacts & Waits {
  return {
    ...eventFacts(ports),
    ...processorFacts(ports),
    ...segmentFacts(ports),
    ...healthFacts(ports),
    ...httpFacts(ports),
  };
}

type EventFacts = Pick<
  Facts,
  | 'accepted'
  | 'refused'
  | 'applied'
  | 'cropped'
  | 'rejected'
  | 'redriven'
  | 'relayed'
  | 'unmetered'
  | 'skippedMeter'
  | 'otherGroup'
>;

function eventFacts({ registry: r, logger }: FactsPorts): EventFacts {
  const accepted = counter(r, { name: 'meterfold_events_accepted_total', help: 'Events that the log acknowledged' });
  const refused = counters(r, { name: 'meterfold_events_refused_total', help: 'Events refused at the edge' }, 'code');
  const applied = counters(
    r,
    { name: 'meterfold_records_applied_total', help: 'Records given to the speed layer' },
    'lineage',
  );
  const cropped = counters(
    r,
    { name: 'meterfold_records_cropped_total', help: 'Replayed records below a fence' },
    'lineage',
  );
  const rejected = counters(r, { name: 'meterfold_records_rejected_total', help: 'Records kept as rejects' }, 'code', [
    'KEY_CONFLICT',
  ]);
  const redriven = counters(
    r,
    { name: 'meterfold_rejects_redriven_total', help: 'Rejects put into the outbox once more' },
    'code',
  );
  const relayed = counter(r, { name: 'meterfold_records_relayed_total', help: 'Misrouted or redriven records sent home' });
  const unmetered = counters(
    r,
    { name: 'meterfold_events_unmetered_total', help: 'Events that no meter uses' },
    'event_type',
  );
  const skipped = counters(
    r,
    { name: 'meterfold_events_skipped_total', help: 'Events without the value that a meter needs' },
    'meter',
  );
  const other = counters(
    r,
    { name: 'meterfold_events_other_group_total', help: 'Events whose group lies beyond the bound on groups' },
    'meter',
  );
  const told = new Set<string>();
  /** The first of its kind is worth a line; the metric counts the rest. */
  const tellOnce = (key: string, fields: Record<string, unknown>, line: string): void => {
    if (told.size >= MAX_TOLD || told.has(key)) return;
    told.add(key);
    logger.warn(fields, line);
  };
  return {
    accepted: (events) => {
      accepted(events);
      logger.debug({ events }, 'events accepted');
    },
    refused: (code, events) => {
      refused(code, events);
      logger.debug({ code, events }, 'events refused');
    },
    applied: (lineage, records) => {
      applied(lineage, records);
      logger.trace({ lineage, records }, 'records applied');
    },
    cropped: (lineage, records) => {
      cropped(lineage, records);
      logger.debug({ lineage, records }, 'replayed records cropped');
    },
    rejected: (code, records) => {
      rejected(code, records);
      logger.debug({ code, records }, 'records rejected');
    },
    redriven: (code, rejects) => {
      redriven(code, rejects);
      logger.info({ code, rejects }, 'rejects redriven');
    },
    relayed: (records) => {
      relayed(records);
      logger.info({ records }, 'misrouted or redriven records sent home');
    },
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

function processorFacts({
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

/** Bounds the memory of `tellOnce`: event types come from callers. */
const MAX_TOLD = 1000;

function segmentFacts({
  registry: r,
  logger,
}: FactsPorts): Pick<Facts, 'sealed' | 'gapped' | 'published' | 'healing' | 'filled' | 'serving' | 'rebuilt'> {
  const sealed = counters(r, { name: 'meterfold_segments_sealed_total', help: 'Segments in the archive' }, 'lineage');
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
      sealedBytes(object?.bytes ?? 0);
      sealing(elapsed);
      logger.debug({ lineage, segment, records, bytes: object?.bytes ?? 0, seconds: elapsed }, 'segment sealed');
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

function healthFacts({ registry: r, logger }: FactsPorts): Pick<Facts, 'waiting' | 'recovered' | 'stopped'> & Waits {
  const failures = counters(r, { name: 'meterfold_failures_total', help: 'Failures that are waited for' }, 'what');
  const waiting = gauges(r, { name: 'meterfold_waiting', help: '1 while a dependency is waited for' }, 'what');
  const stopped = gauges(r, { name: 'meterfold_stopped', help: '1 where work stopped for good' }, 'what');
  const down = new Map<string, string>();
  return {
    waiting: (what, err) => {
      failures(what);
      waiting(what, 1);
      // A dependency that stays down fails at every try: one line says it.
      logger[down.has(what) ? 'debug' : 'warn']({ what, err }, 'waiting for a dependency');
      down.set(what, messageOf(err));
    },
    recovered: (what) => {
      waiting(what, 0);
      down.delete(what);
      logger.info({ what }, 'recovered');
    },
    stopped: (what, err) => {
      stopped(what, 1);
      down.set(what, messageOf(err));
      logger.error({ what, err }, 'stopped');
    },
    waits: () => [...down].map(([what, why]) => ({ what, why })),
  };
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function httpFacts({ registry: r, logger }: FactsPorts): HttpFacts {
  const requests = countersBy(r, { name: 'meterfold_http_requests_total', help: 'Requests answered' }, [
    'method',
    'route',
    'status',
  ]);
  const elapsed = secondsBy(r, { name: 'meterfold_http_request_seconds', help: 'Time to answer, by route' }, 'route');
  const errors = counters(
    r,
    { name: 'meterfold_http_errors_total', help: 'Requests that met a fault of ours' },
    'code',
    knownFaults,
  );
  return {
    answered: ({ route, method, status, seconds: took }) => {
      requests(method, route, String(status));
      elapsed(route, took);
      logger.debug({ route, method, status, seconds: took }, 'answered');
    },
    failed: (route, code, err) => {
      errors(code);
      logger[transient.has(code) ? 'warn' : 'error']({ route, code, err }, 'request failed');
    },
  };
}

const transient = new Set(Object.entries(FAILURES).flatMap(([code, kind]) => (kind === 'transient' ? [code] : [])));
const knownFaults = [...transient];
