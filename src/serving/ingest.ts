/** Events in: a body becomes checked records, the log acknowledges them all or the caller is told to send again. */
import type { Clock } from '../clock.ts';
import type { Facts, Outgoing, Producer, RuleSets, Written } from '../contract.ts';
import { encodeEvent } from '../domain/avro.ts';
import { fromCloudEvent } from '../domain/cloudevents.ts';
import { type Edge, keepingSchemas, openEdge, type Passed } from '../domain/edge.ts';
import { checkEvent, checkTime, type NativeFields, type UsageEvent } from '../domain/event.ts';
import { FUTURE_BOUND_MS } from '../domain/epoch.ts';
import { type Fault, fault, isFault } from '../domain/fault.ts';
import { parseJson } from '../domain/json.ts';
import { checkKept, type Kept } from '../domain/kept.ts';
import { routingKeyOf, type Spread } from '../domain/routing.ts';
import { asError, kindOf, MeterError } from '../errors.ts';
import { announcing } from './announce.ts';

/** What a body holds: by its content type. */
export type BodyKind = 'native' | 'cloudevent' | 'cloudevents';

export interface IngestPorts {
  readonly producer: Pick<Producer, 'append' | 'control'>;
  readonly ruleSets: Pick<RuleSets, 'newest' | 'refresh'>;
  readonly clock: Clock;
  readonly facts: Pick<Facts, 'accepted' | 'refused' | 'filtered'>;
  /** What happens to an event before the log. Absent: nothing. */
  readonly edge?: Edge;
  readonly config: Kept & { readonly pastBoundMs: number; readonly maxEventsPerRequest: number };
}

export type EventResult =
  | ({ readonly index: number; readonly status: 'accepted' } & Written & Parts)
  | { readonly index: number; readonly status: 'filtered'; readonly code: string }
  | ({ readonly index: number; readonly status: 'rejected' } & Fault);

/** Of an event that a processor split, or dropped in part. */
interface Parts {
  /** Where each part is, the first one too. */
  readonly parts?: readonly Written[];
  readonly filtered?: readonly string[];
}

/** Counts are of the events of the body. */
export interface Receipt {
  readonly accepted: number;
  /** Dropped by a processor, each with its code. */
  readonly filtered: number;
  readonly rejected: number;
  readonly results: readonly EventResult[];
  readonly written: readonly Written[];
  /** The body was one event, not a list. */
  readonly isSingle: boolean;
}

/** Events that wait for the log in all requests: beyond it callers are told to come back, so a log that is down fills no memory. */
const MAX_WAITING = 100_000;

/** Between two looks for rules that take more, ms: a client that sends nothing but violations must not keep the database busy. */
const LOOK_MS = 1000;

export class Ingest {
  readonly #ports: IngestPorts;
  readonly #edge: Edge;
  readonly #announce: () => Promise<void>;
  #waiting = 0;
  #looked = -Infinity;

  constructor(ports: IngestPorts) {
    this.#ports = ports;
    this.#edge = keepingSchemas(ports.edge ?? openEdge, () => ports.ruleSets.newest.schemas);
    this.#announce = announcing(ports);
  }

  /**
   * Throws NOT_JSON, INVALID_UTF8, BAD_REQUEST, TOO_MANY_EVENTS with nothing written; LOG_UNAVAILABLE or OVERLOADED where some events may
   * be in the log: nothing is claimed then, and sending them again is harmless.
   */
  async take(body: Uint8Array, kind: BodyKind, options: { readonly isHistory: boolean }): Promise<Receipt> {
    const { facts, config } = this.#ports;
    const { events, isSingle } = eventsOf(body, kind);
    demandCount(events.length, config.maxEventsPerRequest);
    const checked = await this.#checkByNewest(events, kind, options.isHistory);
    const { spread } = this.#ports.ruleSets.newest;
    const outgoing = checked.flatMap((outcome) =>
      isFault(outcome) ? [] : outcome.events.map((event) => outgoingOf(event, spread)),
    );
    const written = outgoing.length === 0 ? [] : await this.#append(outgoing);
    const results = resultsOf(checked, written);
    facts.accepted(written.length);
    for (const [code, count] of countsOf(checked.filter(isFault).map(({ code }) => code))) facts.refused(code, count);
    const dropped = checked.flatMap((outcome) => (isFault(outcome) ? [] : outcome.filtered));
    for (const [code, count] of countsOf(dropped)) facts.filtered(code, count);
    const count = (status: EventResult['status']): number => results.filter((result) => result.status === status).length;
    const counts = { accepted: count('accepted'), rejected: count('rejected'), filtered: count('filtered') };
    return { ...counts, results, written, isSingle };
  }

  /** Another process may have recorded a schema that takes more: who is refused by one is judged by the newest. */
  async #checkByNewest(events: readonly unknown[], kind: BodyKind, isHistory: boolean): Promise<(Passed | Fault)[]> {
    const { ruleSets, clock } = this.#ports;
    const checked = this.#check(events, kind, isHistory);
    const isRefused = checked.some((outcome) => isFault(outcome) && outcome.code === 'SCHEMA_VIOLATION');
    if (!isRefused || clock.now() < this.#looked + LOOK_MS) return checked;
    const { version } = ruleSets.newest;
    await ruleSets.refresh();
    this.#looked = clock.now();
    return ruleSets.newest.version === version ? checked : this.#check(events, kind, isHistory);
  }

  #check(events: readonly unknown[], kind: BodyKind, isHistory: boolean): (Passed | Fault)[] {
    const { clock, config } = this.#ports;
    const now = clock.now();
    const bounds = isHistory ? {} : { pastBoundMs: config.pastBoundMs };
    // What is kept is asked as of a little later: the record arrives after this check, and what is accepted must count.
    const inTime = (event: UsageEvent): Fault | undefined =>
      checkTime(event, now, bounds) ?? checkKept(event, now + FUTURE_BOUND_MS, config);
    const read = kind === 'native' ? nativeEvent : cloudEvent;
    return events.map((given) => {
      const event = read(given);
      return isFault(event) ? event : (inTime(event) ?? this.#edge(event, inTime));
    });
  }

  /** One call for the whole body. Throws unless the log has acknowledged every record. */
  async #append(outgoing: readonly Outgoing[]): Promise<Written[]> {
    if (this.#waiting > MAX_WAITING)
      throw new MeterError('OVERLOADED', 'too many events wait for the log', { retryAfterMs: 1000 });
    this.#waiting += outgoing.length;
    try {
      await this.#announce();
      const outcomes = await this.#ports.producer.append(outgoing);
      const failed = outcomes.filter((outcome) => outcome instanceof Error);
      if (failed.length > 0) throw unacknowledged(failed.length, outgoing.length, failed[0]);
      return outcomes.filter((outcome): outcome is Written => !(outcome instanceof Error));
    } catch (error) {
      throw kindOf(error) === 'transient' ? unacknowledged(outgoing.length, outgoing.length, error) : error;
    } finally {
      this.#waiting -= outgoing.length;
    }
  }
}

function unacknowledged(count: number, all: number, cause: unknown): MeterError {
  if (cause instanceof MeterError && (cause.code === 'LOG_UNAVAILABLE' || cause.code === 'OVERLOADED')) return cause;
  const retryAfterMs = cause instanceof MeterError ? cause.detail.retryAfterMs : undefined;
  const what = `append: the log did not acknowledge ${String(count)} of ${String(all)} events`;
  return new MeterError('LOG_UNAVAILABLE', what, { cause, retryAfterMs });
}

/** Throws NOT_JSON, INVALID_UTF8, and BAD_REQUEST where a body that must be one event is a list or the other way round. */
function eventsOf(body: Uint8Array, kind: BodyKind): { readonly events: readonly unknown[]; readonly isSingle: boolean } {
  const parsed = parsedBody(body);
  const isList = Array.isArray(parsed);
  if (kind === 'cloudevents' && !isList) throw badBody('application/cloudevents-batch+json is a JSON array of CloudEvents');
  if (kind === 'cloudevent' && isList) throw badBody('application/cloudevents+json is one CloudEvent, a JSON object');
  return isList ? { events: parsed, isSingle: false } : { events: [parsed], isSingle: true };
}

const badBody = (allowed: string): MeterError =>
  new MeterError('BAD_REQUEST', 'the body is not what its content type says', { field: 'body', allowed });

/** Throws NOT_JSON, INVALID_UTF8. */
export function parsedBody(body: Uint8Array): unknown {
  try {
    return parseJson(body);
  } catch (cause) {
    const what = { field: 'body', allowed: 'JSON in UTF-8', cause };
    if (cause instanceof TypeError) throw new MeterError('INVALID_UTF8', 'the body is not UTF-8', what);
    throw new MeterError('NOT_JSON', `the body is not JSON: ${asError(cause).message}`, what);
  }
}

function demandCount(count: number, most: number): void {
  if (count <= most) return;
  const allowed = `up to ${String(most)} events a request`;
  throw new MeterError('TOO_MANY_EVENTS', 'the body holds too many events', {
    field: 'body',
    value: String(count),
    allowed,
  });
}

/** `isFault` never sees the caller's object: that could hold any names. */
const nativeEvent = (given: unknown): UsageEvent | Fault =>
  typeof given === 'object' && given !== null && !Array.isArray(given)
    ? checkEvent(given as NativeFields)
    : fault('NOT_AN_OBJECT', '', given);

function cloudEvent(given: unknown): UsageEvent | Fault {
  const fields = fromCloudEvent(given);
  return isFault(fields) ? fields : checkEvent(fields);
}

const outgoingOf = (event: UsageEvent, spread: Spread): Outgoing => ({
  routingKey: routingKeyOf(event, spread),
  value: encodeEvent(event),
});

function countsOf(codes: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const code of codes) counts.set(code, (counts.get(code) ?? 0) + 1);
  return counts;
}

/** One result an event, in order of the body; `written` holds the parts of the accepted ones in the same order. */
function resultsOf(checked: readonly (Passed | Fault)[], written: readonly Written[]): EventResult[] {
  let next = 0;
  return checked.map((outcome, index): EventResult => {
    if (isFault(outcome)) return { index, status: 'rejected', ...outcome };
    const { events, filtered } = outcome;
    const [code] = filtered;
    if (events.length === 0 && code !== undefined) return { index, status: 'filtered', code };
    const parts = written.slice(next, next + events.length);
    next += events.length;
    const [place] = parts;
    if (place === undefined || parts.length < events.length) throw new Error('append: fewer outcomes than records');
    return {
      ...{ index, status: 'accepted', lineage: place.lineage, position: place.position },
      ...(events.length === 1 ? {} : { parts }),
      ...(filtered.length === 0 ? {} : { filtered }),
    };
  });
}
