import type { FastifyReply } from 'fastify';

/** Aborts when the caller has gone, or has its answer. The request's own `close` comes as soon as its body is read. */
export function leftOf(reply: FastifyReply): AbortSignal {
  const left = new AbortController();
  reply.raw.once('close', () => {
    left.abort();
  });
  return left.signal;
}
