/** Events in: a body becomes checked records, the log acknowledges them all or the caller is told to send again. */
import type { Clock } from '../clock.ts';
import type { Facts, Outgoing, Producer, RuleSets, Written } from '../contract.ts';
import { encodeEvent } from '../domain/avro.ts';
import { fromCloudEvent } from '../domain/cloudevents.ts';
import { checkEvent, checkTime, type NativeFields, type UsageEvent } from '../domain/event.ts';
import { FUTURE_BOUND_MS } from '../domain/epoch.ts';
import { type Fault, fault, isFault } from '../domain/fault.ts';
import { parseJson } from '../domain/json.ts';
import { checkKept, type Kept } from '../domain/kept.ts';
import { routingKeyOf, type Spread } from '../domain/routing.ts';
import { asError, kindOf, MeterError } from '../errors.ts';

/** What a body holds: by its content type. */
export type BodyKind = 'native' | 'cloudevent' | 'cloudevents';

export interface IngestPorts {
  readonly producer: Pick<Producer, 'append'>;
  readonly ruleSets: Pick<RuleSets, 'newest'>;
  readonly clock: Clock;
  readonly facts: Pick<Facts, 'accepted' | 'refused'>;
  readonly config: Kept & { readonly pastBoundMs: number; readonly maxEventsPerRequest: number };
}

export type EventResult =
  | { readonly index: number; readonly status: 'accepted'; readonly lineage: string; readonly position: string }
  | ({ readonly index: number; readonly status: 'rejected' } & Fault);

export interface Receipt {
  readonly accepted: number;
  readonly rejected: number;
  readonly results: readonly EventResult[];
  readonly written: readonly Written[];
  /** The body was one event, not a list. */
  readonly isSingle: boolean;
}

/** Events that wait for the log in all requests: beyond it callers are told to come back, so a log that is down fills no memory. */
const MAX_WAITING = 100_000;

export class Ingest {
  readonly #ports: IngestPorts;
  #waiting = 0;

  constructor(ports: IngestPorts) {
    this.#ports = ports;
  }

  /**
   * Throws NOT_JSON, INVALID_UTF8, BAD_REQUEST, TOO_MANY_EVENTS with nothing written; LOG_UNAVAILABLE or OVERLOADED where some events may
   * be in the log: nothing is claimed then, and sending them again is harmless.
   */
  async take(body: Uint8Array, kind: BodyKind, options: { readonly isHistory: boolean }): Promise<Receipt> {
    const { facts, config } = this.#ports;
    const { events, isSingle } = eventsOf(body, kind);
    demandCount(events.length, config.maxEventsPerRequest);
    const checked = this.#check(events, kind, options.isHistory);
    const { outgoing, faults } = sorted(checked, this.#ports.ruleSets.newest.spread);
    const written = outgoing.length === 0 ? [] : await this.#append(outgoing);
    const results = resultsOf(checked, written);
    facts.accepted(written.length);
    for (const [code, count] of countsOf(faults)) facts.refused(code, count);
    return { accepted: written.length, rejected: faults.length, results, written, isSingle };
  }

  #check(events: readonly unknown[], kind: BodyKind, isHistory: boolean): (UsageEvent | Fault)[] {
    const now = this.#ports.clock.now();
    const { config } = this.#ports;
    const bounds = isHistory ? {} : { pastBoundMs: config.pastBoundMs };
    const read = kind === 'native' ? nativeEvent : cloudEvent;
    return events.map((given) => {
      const event = read(given);
      // What is kept is asked as of a little later: the record arrives after this check, and what is accepted must count.
      return isFault(event)
        ? event
        : (checkTime(event, now, bounds) ?? checkKept(event, now + FUTURE_BOUND_MS, config) ?? event);
    });
  }

  /** One call for the whole body. Throws unless the log has acknowledged every record. */
  async #append(outgoing: readonly Outgoing[]): Promise<Written[]> {
    if (this.#waiting > MAX_WAITING)
      throw new MeterError('OVERLOADED', 'too many events wait for the log', { retryAfterMs: 1000 });
    this.#waiting += outgoing.length;
    try {
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

function parsedBody(body: Uint8Array): unknown {
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

function sorted(
  checked: readonly (UsageEvent | Fault)[],
  spread: Spread,
): { readonly outgoing: Outgoing[]; readonly faults: Fault[] } {
  const outgoing: Outgoing[] = [];
  const faults: Fault[] = [];
  for (const event of checked) {
    if (isFault(event)) faults.push(event);
    else outgoing.push({ routingKey: routingKeyOf(event, spread), value: encodeEvent(event) });
  }
  return { outgoing, faults };
}

function countsOf(faults: readonly Fault[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { code } of faults) counts.set(code, (counts.get(code) ?? 0) + 1);
  return counts;
}

/** One result an event, in order of the body; `written` holds the accepted ones in the same order. */
function resultsOf(checked: readonly (UsageEvent | Fault)[], written: readonly Written[]): EventResult[] {
  let next = 0;
  return checked.map((event, index): EventResult => {
    if (isFault(event)) return { index, status: 'rejected', ...event };
    const place = written[next];
    next += 1;
    if (place === undefined) throw new Error('append: fewer outcomes than records');
    return { index, status: 'accepted', lineage: place.lineage, position: place.position };
  });
}
