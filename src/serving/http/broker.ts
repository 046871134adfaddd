/** POST /v1/broker/expand: the log goes on in another topic. */
import type { FastifyInstance } from 'fastify';
import { parsedBody } from '../ingest.ts';
import { bodyOf } from './content-types.ts';
import { leftOf } from './left.ts';
import { badParam, demandObject, optional, readParams, text } from './params.ts';
import type { HttpPorts } from './ports.ts';

const MOST_PARTITIONS = 100_000;
const READERS = { topic: text, partitions: optional(1, MOST_PARTITIONS) };

export function brokerRoutes(app: FastifyInstance, { expand }: HttpPorts): void {
  if (expand === undefined) return;
  app.post('/v1/broker/expand', async (request, reply) => {
    readParams(request.query, {});
    const { topic, partitions } = askedOf(parsedBody(bodyOf(request).bytes));
    if (topic === undefined) throw badParam('topic', undefined, 'a topic that was made for it');
    const wanted = { topic, ...(partitions === undefined ? {} : { partitions }) };
    return expand(wanted, leftOf(reply));
  });
}

/** Throws BAD_REQUEST, with the field at fault. */
function askedOf(body: unknown) {
  const given = demandObject(body, 'a JSON object with topic, and partitions');
  const { partitions } = given as { readonly partitions?: unknown };
  if (partitions !== undefined && typeof partitions !== 'number')
    throw badParam('partitions', JSON.stringify(partitions), 'a number');
  return readParams({ ...given, ...(partitions === undefined ? {} : { partitions: String(partitions) }) }, READERS);
}
