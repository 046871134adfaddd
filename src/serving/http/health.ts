/** Is the process up, can it serve, what did it count, and do its stores agree. */
import type { FastifyInstance } from 'fastify';
import { asError, MeterError } from '../../errors.ts';
import { readParams } from './params.ts';
import type { Dependency, HttpPorts } from './ports.ts';
import { failureOf } from './problem.ts';

export function healthRoutes(app: FastifyInstance, ports: HttpPorts): void {
  app.get('/healthz', () => ({ status: 'up' }));

  app.get('/readyz', async (_, reply) => {
    const dependencies = await checked(ports);
    const isReady = dependencies.every(({ ok }) => ok);
    if (!isReady) reply.code(503).header('retry-after', '1');
    return { status: isReady ? 'ready' : 'not ready', dependencies };
  });

  app.get('/metrics', async (_, reply) => {
    reply.type(ports.registry.contentType);
    return ports.registry.metrics();
  });

  const { verify } = ports;
  if (verify === undefined) return;
  app.post('/v1/verify', async (request) => {
    readParams(request.query, {});
    return verify();
  });
}

/** A check that throws is itself the answer: not ready, and why. */
async function checked(ports: HttpPorts): Promise<readonly Dependency[]> {
  try {
    return await ports.ready();
  } catch (error) {
    const { problem } = failureOf(error);
    ports.facts.failed('/readyz', problem.code, asError(error));
    return [{ name: error instanceof MeterError ? error.code : 'ready', ok: false, detail: problem.detail }];
  }
}
