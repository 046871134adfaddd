/** POST /v1/events and the list of what was published. */
import type { FastifyInstance } from 'fastify';
import type { Fault } from '../../domain/fault.ts';
import { Ingest } from '../ingest.ts';
import { bodyOf } from './content-types.ts';
import { flag, pageParams, rangeParams, readParams, time } from './params.ts';
import type { HttpPorts } from './ports.ts';
import { problemOf, REJECTED, sendProblem } from './problem.ts';
import { eventJson, isoOf } from './render.ts';
import { encodeToken } from './tokens.ts';

export function eventRoutes(app: FastifyInstance, ports: HttpPorts): void {
  const ingest = new Ingest(ports);

  app.post('/v1/events', async (request, reply) => {
    const { history } = readParams(request.query, { history: flag });
    const { bytes, kind } = bodyOf(request);
    const { isSingle, written, ...receipt } = await ingest.take(bytes, kind, { isHistory: history });
    const [only] = receipt.results;
    if (isSingle && only?.status === 'rejected') return sendProblem(reply, { problem: rejection(only) });
    return reply.send({ ...receipt, token: encodeToken(written) });
  });

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
}

const rejection = ({ code, field, value, reason }: Fault) =>
  problemOf({ status: REJECTED, code, detail: reason, field, value });
