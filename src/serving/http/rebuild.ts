/** The rebuild of the batch view: started, watched, given up. */
import type { FastifyInstance } from 'fastify';
import type { RebuildStatus } from '../../batch/rebuild.ts';
import { flag, readParams } from './params.ts';
import type { HttpPorts } from './ports.ts';

export function rebuildRoutes(app: FastifyInstance, { rebuilder }: HttpPorts): void {
  if (rebuilder === undefined) return;
  app.get('/v1/rebuild', async (request) => {
    readParams(request.query, {});
    return statusJson(await rebuilder.status());
  });

  app.post('/v1/rebuild', (request, reply) => {
    const { accept_differences: accepts } = readParams(request.query, { accept_differences: flag });
    return reply.code(202).send(statusJson(rebuilder.start(accepts)));
  });

  app.delete('/v1/rebuild', async (request) => {
    readParams(request.query, {});
    return statusJson(await rebuilder.drop());
  });
}

const statusJson = ({ state, segments, of, differences, detail }: RebuildStatus) => ({
  state,
  segments,
  of_segments: of,
  differences,
  ...(detail === undefined ? {} : { detail }),
});
