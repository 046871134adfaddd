/** Which meters there are, and which event types were seen. */
import type { FastifyInstance } from 'fastify';
import type { Meter } from '../../domain/meter.ts';
import { MeterError } from '../../errors.ts';
import { readParams } from './params.ts';
import type { HttpPorts } from './ports.ts';

export interface MeterPath {
  readonly Params: { readonly key: string };
}

export function meterRoutes(app: FastifyInstance, ports: HttpPorts): void {
  app.get('/v1/meters', async (request) => {
    readParams(request.query, {});
    const { implicit } = ports.meters;
    return { implicit, meters: (await listed(ports)).map(meterJson) };
  });

  app.get<MeterPath>('/v1/meters/:key', async (request) => {
    readParams(request.query, {});
    const meter = findMeter(ports, request.params.key);
    await demandSeen(ports, meter);
    return meterJson(meter);
  });

  app.get('/v1/event-types', async (request) => {
    readParams(request.query, {});
    const types = await ports.listEventTypes();
    return {
      event_types: types.map(({ eventType, events }) => ({
        event_type: eventType,
        events,
        meters: ports.meters.forType(eventType).map(({ key }) => key),
      })),
    };
  });
}

/** Implicit meters exist where their event type was seen. */
async function listed(ports: HttpPorts): Promise<readonly Meter[]> {
  const { meters } = ports;
  if (!meters.implicit) return meters.meters;
  return (await ports.listEventTypes()).flatMap(({ eventType }) => meters.forType(eventType));
}

/** Throws UNKNOWN_METER. An implicit meter may yet turn out to be unknown: `demandSeen` says. */
export function findMeter({ meters }: HttpPorts, key: string): Meter {
  const meter = key.includes('\0') ? undefined : meters.find(key);
  if (meter === undefined) throw unknownMeter(key, 'there is no such meter');
  return meter;
}

/** Throws UNKNOWN_METER for an implicit meter whose event type was never seen. */
export async function demandSeen(ports: HttpPorts, meter: Meter): Promise<void> {
  if (!ports.meters.implicit || (await ports.knowsEventType(meter.eventType))) return;
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

const meterJson = ({ key, eventType, aggregation, value, groupBy, filter, unit }: Meter) => ({
  key,
  event_type: eventType,
  aggregation,
  value: value === 'quantity' ? value : value.join('.'),
  group_by: groupBy,
  filter: Object.fromEntries([...filter].map(([name, values]) => [name, [...values]])),
  unit,
});
