/** Which meters and schemas there are, and which event types were seen. */
import type { FastifyInstance } from 'fastify';
import { type Meter, meterId, type MeterSet } from '../../domain/meter.ts';
import { MeterError } from '../../errors.ts';
import { optional, readParams } from './params.ts';
import type { HttpPorts } from './ports.ts';

export interface MeterPath {
  readonly Params: { readonly key: string };
}

export function meterRoutes(app: FastifyInstance, ports: HttpPorts): void {
  app.get('/v1/meters', async (request) => {
    readParams(request.query, {});
    const { newest } = ports.ruleSets;
    return { implicit: newest.current === undefined, rules: newest.version, meters: await listed(ports) };
  });

  app.get<MeterPath>('/v1/meters/:key', async (request) => {
    const { version } = readParams(request.query, { version: VERSION });
    const meter = findMeter(ports, request.params.key, version);
    await demandSeen(ports, meter);
    return meterJson(ports, meter);
  });

  app.get('/v1/schemas', (request, reply) => {
    readParams(request.query, {});
    const { version: rules, schemas } = ports.ruleSets.newest;
    const listed = [...schemas].map(([eventType, schema]) => ({ event_type: eventType, ...schema }));
    return reply.send({ rules, schemas: listed.sort((a, b) => (a.event_type < b.event_type ? -1 : 1)) });
  });

  app.get('/v1/event-types', async (request) => {
    readParams(request.query, {});
    const types = await ports.listEventTypes();
    return {
      event_types: types.map(({ eventType, events }) => ({
        event_type: eventType,
        events,
        meters: [...new Set(ports.ruleSets.newest.meters.forType(eventType).map(({ key }) => key))],
      })),
    };
  });
}

export const VERSION = optional(1, 1_000_000);

/** Every version, also those that are being filled. Implicit meters exist where their event type was seen. */
async function listed(ports: HttpPorts) {
  const { meters } = ports.ruleSets.newest;
  const filled = await ports.versions();
  const declared = meters.meters.map((meter) => meterJson(ports, meter, filled));
  if (!meters.implicit) return declared;
  const seen = (await ports.listEventTypes()).flatMap(({ eventType }) => meters.find(eventType, 1) ?? []);
  return [...declared, ...seen.map((meter) => meterJson(ports, meter))];
}

const answers = ({ ruleSets: { newest, serving } }: HttpPorts, meter: Meter): boolean =>
  serving.has(meterId(meter)) || (newest.meters.implicit && isImplicit(newest.meters, meter));

const isImplicit = ({ meters }: MeterSet, meter: Meter): boolean =>
  meter.version === 1 && !meters.some((known) => meterId(known) === meterId(meter));

/**
 * The version that is named, else the newest that answers. Throws UNKNOWN_METER, and METER_FILLING for one that is not filled
 * yet. An implicit meter may yet turn out to be unknown: `demandSeen` says.
 */
export function findMeter(ports: HttpPorts, key: string, version?: number): Meter {
  const { meters } = ports.ruleSets.newest;
  if (key.includes('\0')) throw unknownMeter(key, 'there is no such meter');
  const named = version === undefined ? undefined : meters.find(key, version);
  const versions = meters.meters.filter((meter) => meter.key === key).sort((a, b) => b.version - a.version);
  const found = version === undefined ? (versions.find((meter) => answers(ports, meter)) ?? fallback(meters, key)) : named;
  if (found === undefined && versions.length === 0) throw unknownMeter(key, 'there is no such meter');
  if (found === undefined && version !== undefined) throw noVersion(key, version, versions);
  if (found !== undefined && answers(ports, found)) return found;
  const what = `version ${String((found ?? versions[0])?.version)} of ${key.slice(0, 100)} is still being filled from the archive`;
  throw new MeterError('METER_FILLING', what, { field: 'meter', value: key.slice(0, 100), retryAfterMs: 1000 });
}

/** Where implicit meters are measured: every key is one. */
const fallback = (meters: MeterSet, key: string): Meter | undefined => (meters.implicit ? meters.find(key, 1) : undefined);

function noVersion(key: string, version: number, versions: readonly Meter[]): MeterError {
  const allowed = versions.map((meter) => String(meter.version)).join(', ');
  return new MeterError('UNKNOWN_METER', `${key.slice(0, 100)} has no such version, or it is not measured any more`, {
    ...{ field: 'version', value: String(version), allowed },
  });
}

/** Throws UNKNOWN_METER for an implicit meter whose event type was never seen. */
export async function demandSeen(ports: HttpPorts, meter: Meter): Promise<void> {
  const { meters } = ports.ruleSets.newest;
  if (!meters.implicit || !isImplicit(meters, meter) || (await ports.knowsEventType(meter.eventType))) return;
  throw unknownMeter(meter.key, 'no event of this type was seen yet, so it has no meter');
}

const unknownMeter = (key: string, what: string): MeterError =>
  new MeterError('UNKNOWN_METER', what, { field: 'meter', value: key.slice(0, 100), allowed: 'a key of GET /v1/meters' });

/** Event types come from callers: what is kept of them must not grow without bound. */
const MAX_REMEMBERED = 10_000;

/** A type that was seen once stays known: only the first query of each has to ask. */
export function rememberTypes(ports: Pick<HttpPorts, 'knowsEventType'>): HttpPorts['knowsEventType'] {
  const known = new Set<string>();
  return async (eventType) => {
    if (known.has(eventType)) return true;
    const isKnown = await ports.knowsEventType(eventType);
    if (isKnown && known.size < MAX_REMEMBERED) known.add(eventType);
    return isKnown;
  };
}

function meterJson(ports: HttpPorts, meter: Meter, filled: ReadonlyMap<string, number> = new Map()) {
  const { key, version, eventType, aggregation, value, groupBy, filter, unit, holdMinutes } = meter;
  const state = answers(ports, meter) ? 'serving' : 'filling';
  return {
    key,
    version,
    state,
    ...(state === 'filling' ? { filled_segments: filled.get(meterId(meter)) ?? 0 } : {}),
    event_type: eventType,
    aggregation,
    value: value === 'quantity' ? value : value.join('.'),
    group_by: groupBy,
    filter: Object.fromEntries([...filter].map(([name, values]) => [name, [...values]])),
    unit,
    ...(holdMinutes === 0 ? {} : { hold_minutes: holdMinutes }),
  };
}
