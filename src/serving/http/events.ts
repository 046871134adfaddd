/** POST /v1/events: an answer only after the log's. */
import type { FastifyInstance } from 'fastify';
import type { Fault } from '../../domain/fault.ts';
import { Ingest } from '../ingest.ts';
import { bodyOf } from './content-types.ts';
import { flag, readParams } from './params.ts';
import type { HttpPorts } from './ports.ts';
import { problemOf, REJECTED, sendProblem } from './problem.ts';
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
}

const rejection = ({ code, field, value, reason }: Fault) =>
  problemOf({ status: REJECTED, code, detail: reason, field, value });
