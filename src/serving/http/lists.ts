/** Lists of what is published: tenants, event types, rejects. */
import type { FastifyInstance } from 'fastify';
import { pageParams, readParams, text } from './params.ts';
import type { HttpPorts } from './ports.ts';
import { rejectJson } from './render.ts';

export function listRoutes(app: FastifyInstance, ports: HttpPorts): void {
  app.get('/v1/tenants', async (request) => {
    readParams(request.query, {});
    return { tenants: await ports.listTenants() };
  });

  app.get('/v1/rejects', async (request) => {
    const page = await ports.listRejects(readParams(request.query, { code: text, tenant: text, ...pageParams }));
    return { rejects: page.rows.map(rejectJson), next: page.next ?? null };
  });
}
