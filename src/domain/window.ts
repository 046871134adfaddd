/** Windows of a query: edges in minutes since 1970. Days and months are those of an IANA time zone. */
import { Temporal } from 'temporal-polyfill';
import { parseTime } from './time.ts';

export const WINDOWS = ['minute', 'hour', 'day', 'month', 'range'] as const;
export type WindowSize = (typeof WINDOWS)[number];

/** Windows in one answer: beyond it a query is to be narrowed. */
export const MAX_WINDOWS = 10_000;
const MS_PER_MINUTE = 60_000;
const MICROS_PER_MINUTE = 60_000_000;

export interface WindowRequest {
  /** Minutes since 1970. */
  readonly from: number;
  readonly to: number;
  readonly window: WindowSize;
  readonly zone: string;
}

export function isZone(name: string): boolean {
  // Temporal also takes bare offsets, and times for the offset or the zone that they carry.
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    return Temporal.ZonedDateTime.from({ timeZone: name, year: 2000, month: 1, day: 1 }).timeZoneId !== '';
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) return false;
    throw error;
  }
}

/** A whole minute: ISO 8601 with an offset, or a date for its midnight in UTC. `undefined` for anything else. */
export function parseMinute(text: string): number | undefined {
  const micros = parseTime(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00Z` : text);
  return micros === undefined || micros % MICROS_PER_MINUTE !== 0 ? undefined : micros / MICROS_PER_MINUTE;
}

export const formatMinute = (minute: number): string => new Date(minute * MS_PER_MINUTE).toISOString().replace('.000Z', 'Z');

const zoned = (minute: number, zone: string): Temporal.ZonedDateTime =>
  Temporal.Instant.fromEpochMilliseconds(minute * MS_PER_MINUTE).toZonedDateTimeISO(zone);

/** Offsets before standard time had seconds: such an edge is rounded down to the minute that holds it. */
const minuteOf = (time: Temporal.ZonedDateTime): number => Math.floor(time.epochMilliseconds / MS_PER_MINUTE);

/** The next edge behind a time, in its zone. */
function next(time: Temporal.ZonedDateTime, window: 'day' | 'month'): Temporal.ZonedDateTime {
  const day =
    window === 'day' ? time.toPlainDate().add({ days: 1 }) : time.toPlainDate().with({ day: 1 }).add({ months: 1 });
  return day.toZonedDateTime(time.timeZoneId);
}

function* calendarEdges({ from, to, zone }: WindowRequest, window: 'day' | 'month'): Generator<number> {
  for (let time = next(zoned(from, zone), window); minuteOf(time) < to; time = next(time, window)) yield minuteOf(time);
}

/**
 * Full hours of the local clock. Offsets are multiples of 15 minutes at most, so an edge is where the local minute is 0;
 * when the clock is set within an hour (Lord Howe: by 30 minutes) the next edge follows the new clock.
 */
function* hourEdges({ from, to, zone }: WindowRequest): Generator<number> {
  for (let at = from; ;) {
    const local = zoned(at, zone);
    const edge = at + 60 - local.minute;
    const before = zoned(edge - 1, zone).offsetNanoseconds;
    const after = zoned(edge, zone);
    // The offset changed inside this hour: walk to the first local full hour behind it.
    at = before === local.offsetNanoseconds && after.minute === 0 ? edge : firstFullHour(at, edge, zone);
    if (at >= to) return;
    yield at;
  }
}

function firstFullHour(from: number, edge: number, zone: string): number {
  for (let at = from + 1; at < edge + 60; at += 1) if (zoned(at, zone).minute === 0) return at;
  return edge;
}

function* fixedEdges({ from, to }: WindowRequest, minutes: number): Generator<number> {
  for (let at = Math.floor(from / minutes) * minutes + minutes; at < to; at += minutes) yield at;
}

function inner(request: WindowRequest): Iterable<number> {
  switch (request.window) {
    case 'range':
      return [];
    case 'minute':
      return fixedEdges(request, 1);
    case 'hour':
      return request.zone === 'UTC' ? fixedEdges(request, 60) : hourEdges(request);
    case 'day':
    case 'month':
      return calendarEdges(request, request.window);
  }
}

/** Ascending edges, the first `from` and the last `to`: window i is [edge i, edge i+1). `undefined`: more than MAX_WINDOWS. */
export function windowEdges(request: WindowRequest): number[] | undefined {
  const edges = [request.from];
  for (const edge of inner(request)) {
    // A zone may set its clock back over an edge; windows never go back.
    if (edge <= (edges.at(-1) ?? 0)) continue;
    edges.push(edge);
    if (edges.length > MAX_WINDOWS) return undefined;
  }
  edges.push(request.to);
  return edges;
}
