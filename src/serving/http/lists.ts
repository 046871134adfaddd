/** Lists of what is published: events, tenants, hourly usage, rejects. */
import type { FastifyInstance } from 'fastify';
import { hour, pageParams, rangeParams, readParams, text, time } from './params.ts';
import type { HttpPorts } from './ports.ts';
import { eventJson, hourJson, isoOf, rejectJson } from './render.ts';

export function listRoutes(app: FastifyInstance, ports: HttpPorts): void {
  app.get('/v1/events', async (request) => {
    const { event_type: eventType, ...params } = readParams(request.query, { ...rangeParams(time), ...pageParams });
    const page = await ports.listEvents({ ...params, eventType });
    const events = page.rows.map(({ event, lineage, position, arrival }) => ({
      ...eventJson(event),
      lineage,
      position,
      arrival: isoOf(arrival),
    }));
    return { events, next: page.next ?? null };
  });

  app.get('/v1/tenants', async (request) => {
    readParams(request.query, {});
    return { tenants: await ports.listTenants() };
  });

  app.get('/v1/usage-hourly', async (request) => {
    const { event_type: eventType, ...params } = readParams(request.query, { ...rangeParams(hour), ...pageParams });
    const page = await ports.listUsageHourly({ ...params, eventType });
    return { usage: page.rows.map(hourJson), next: page.next ?? null };
  });

  app.get('/v1/rejects', async (request) => {
    const page = await ports.listRejects(readParams(request.query, { code: text, tenant: text, ...pageParams }));
    return { rejects: page.rows.map(rejectJson), next: page.next ?? null };
  });
}
