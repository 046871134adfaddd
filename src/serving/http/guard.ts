/**
 * Who may ask while there are no API keys: programs on this machine. A page of another site reaches 127.0.0.1 too, through
 * the user's browser: the Host check stops rebound names, the Origin check stops foreign pages.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { MeterError } from '../../errors.ts';

const LOCAL = /^(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/i;

export function guard(app: FastifyInstance, options: { readonly insecure: boolean }): void {
  if (!options.insecure) app.addHook('onRequest', demandLocal);
  app.addHook('onSend', async (_, reply) => {
    reply.headers(SECURITY_HEADERS);
    return Promise.resolve();
  });
}

/** Answers hold usage: nobody between keeps, frames or guesses them. */
const SECURITY_HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

function demandLocal({ headers: { host, origin } }: FastifyRequest, _: unknown, done: (error?: Error) => void): void {
  if (host === undefined || !LOCAL.test(host)) {
    const allowed = 'localhost, 127.0.0.1 or [::1] with any port; other names need --insecure';
    done(new MeterError('FORBIDDEN_HOST', 'the Host header names another machine', { field: 'host', value: host, allowed }));
  } else if (origin !== undefined && origin.toLowerCase() !== `http://${host.toLowerCase()}`) {
    const allowed = `http://${host}`;
    done(new MeterError('FORBIDDEN_ORIGIN', 'a page of another origin asks', { field: 'origin', value: origin, allowed }));
  } else {
    done();
  }
}
