/** The HTTP edge: one factory, nothing global. Routes say what they serve; everything that fails leaves as problem details. */
import type { Socket } from 'node:net';
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { MeterError } from '../../errors.ts';
import { adopt } from './adopt.ts';
import { readBodiesAsBytes } from './content-types.ts';
import { brokerRoutes } from './broker.ts';
import { eventRoutes } from './events.ts';
import { gapRoutes } from './gaps.ts';
import { guard } from './guard.ts';
import { healthRoutes } from './health.ts';
import { listRoutes } from './lists.ts';
import { logRoutes } from './log.ts';
import { meterRoutes, rememberTypes } from './meters.ts';
import type { HttpPorts } from './ports.ts';
import { failureOf, problemOf, sendProblem } from './problem.ts';
import { queryRoutes } from './query.ts';
import { rebuildRoutes } from './rebuild.ts';
import { redriveRoutes } from './redrive.ts';

export type { HttpPorts } from './ports.ts';

/** A caller that sends its request slower than this is cut off, ms. */
const REQUEST_TIMEOUT_MS = 60_000;
/** An id of 256 bytes, each percent-encoded. */
const MAX_PARAM_CHARACTERS = 3 * 256;

/** No route declares a schema: bodies are read as bytes and checked by the domain. Fastify would load two compilers at every start. */
const noCompiler = (): never => {
  throw new RangeError('routes here have no schemas');
};

/** What a server may serve beside its health: events in, answers out. */
const SERVED = {
  ingest: [eventRoutes],
  api: [listRoutes, redriveRoutes, meterRoutes, queryRoutes, logRoutes, gapRoutes, rebuildRoutes, brokerRoutes],
} as const;
export type Served = keyof typeof SERVED;

/** Not listening yet. `close` lets requests in flight finish. */
export function httpServer(ports: HttpPorts, serves: readonly Served[] = ['ingest', 'api']): FastifyInstance {
  const app = fastify({
    bodyLimit: ports.config.maxBodyBytes,
    requestTimeout: REQUEST_TIMEOUT_MS,
    schemaController: { compilersFactory: { buildValidator: noCompiler, buildSerializer: noCompiler } },
    routerOptions: { maxParamLength: MAX_PARAM_CHARACTERS },
    // While it drains, what still comes in on open connections is answered like the rest.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    clientErrorHandler: refuseNoHttp,
    frameworkErrors: (error, request, reply) => {
      answerError(ports, error, request, reply);
    },
  });
  readBodiesAsBytes(app);
  measure(app, ports);
  guard(app, ports.config);
  app.setErrorHandler((error, request, reply) => {
    answerError(ports, error, request, reply);
  });
  app.setNotFoundHandler(({ method, url }) => {
    throw new MeterError('NOT_FOUND', `there is no ${method} ${pathOf(url)} here`, {
      field: 'path',
      allowed: 'the routes under /v1',
    });
  });
  refuseOtherMethods(app, () => {
    const all = { ...ports, knowsEventType: rememberTypes(ports) };
    for (const routes of [...serves.flatMap((name) => SERVED[name]), healthRoutes]) routes(app, all);
  });
  return app;
}

const SHOWN = 100;
const pathOf = (url: string): string => (url.split('?')[0] ?? '').slice(0, SHOWN);
const routeOf = (request: FastifyRequest): string => request.routeOptions.url ?? 'unmatched';

function answerError({ facts, config }: HttpPorts, thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const error = adopt(thrown, config);
  const failure = failureOf(error);
  if (failure.problem.status >= 500) facts.failed(routeOf(request), failure.problem.code, error);
  sendProblem(reply, failure);
}

function measure(app: FastifyInstance, { facts }: HttpPorts): void {
  app.addHook('onResponse', (request, reply, done) => {
    const { method } = request;
    facts.answered({ route: routeOf(request), method, status: reply.statusCode, seconds: reply.elapsedTime / 1000 });
    done();
  });
}

/** Every other method of a declared path is answered 405 with what is allowed, before its body is read. */
function refuseOtherMethods(app: FastifyInstance, declare: () => void): void {
  const declared = new Map<string, Set<string>>();
  let isDeclaring = true;
  app.addHook('onRoute', ({ url, method }) => {
    if (!isDeclaring) return;
    const known = declared.get(url) ?? new Set();
    declared.set(url, known);
    for (const name of [method].flat()) known.add(name);
  });
  declare();
  isDeclaring = false;
  for (const [url, known] of declared) {
    const allowed = [...known].sort().join(', ');
    const refuse = async ({ method }: FastifyRequest, reply: FastifyReply): Promise<never> => {
      reply.header('allow', allowed);
      const what = { field: 'method', value: method, allowed };
      return Promise.reject(new MeterError('METHOD_NOT_ALLOWED', `${url} has no ${method}`, what));
    };
    const method = app.supportedMethods.filter((name) => !known.has(name));
    app.route({ url, method, onRequest: refuse, handler: refuse });
  }
}

/** What is no HTTP has no request to answer: the bytes of a problem, then the end. */
function refuseNoHttp(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const isLarge = error.code === 'HPE_HEADER_OVERFLOW';
  const [status, reason] = isLarge ? [431, 'Request Header Fields Too Large'] : [400, 'Bad Request'];
  const detail = isLarge ? 'the headers are too large' : 'the bytes are no HTTP request';
  const body = JSON.stringify(problemOf({ status, code: 'BAD_REQUEST', detail }));
  const head = [
    `HTTP/1.1 ${String(status)} ${reason}`,
    'content-type: application/problem+json',
    `content-length: ${String(Buffer.byteLength(body))}`,
    'connection: close',
  ];
  if (socket.writable) socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  socket.destroySoon();
}
