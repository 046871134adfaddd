/** Problem details (RFC 9457): how every error leaves the server, and under which status. */
import type { FastifyReply } from 'fastify';
import { type FailureCode, MeterError } from '../../errors.ts';

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly field?: string;
  readonly value?: string;
  readonly allowed?: string;
}

/** A problem, and what goes into headers. */
export interface Failure {
  readonly problem: Problem;
  readonly retryAfterMs?: number;
}

/** What is not the caller's input. 503 says: the same request is answered later. */
const STATUS: Partial<Record<FailureCode, number>> = {
  WRONG_CONTENT_TYPE: 415,
  TOO_LARGE: 413,
  TOO_MANY_EVENTS: 413,
  UNKNOWN_METER: 404,
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  FORBIDDEN_HOST: 403,
  FORBIDDEN_ORIGIN: 403,
  ARCHIVE_DAMAGED: 503,
  ARCHIVE_MISSING: 503,
  ARCHIVE_CONFLICT: 503,
  ARCHIVE_MISCONFIGURED: 503,
  DATABASE_RESTORED: 503,
};
const STATUS_OF_KIND = { transient: 503, invalid: 400, fatal: 500 } as const;
export const REJECTED = 422;

/** Without an own wish of the error, ms. */
const RETRY_AFTER_MS = 1000;

/** Messages of these name hosts, files and statements: the log holds them, the caller gets these words. */
const PUBLIC: Partial<Record<FailureCode, string>> = {
  LOG_UNAVAILABLE:
    'the log did not acknowledge, so nothing is claimed; the same events with the same keys may be sent again',
  DATABASE_UNAVAILABLE: 'the database cannot be reached',
  SPEED_UNAVAILABLE: 'the live counters cannot be reached',
  DATABASE_RESTORED: 'the database was put back to an earlier state; the log of the server says what to do',
  ARCHIVE_UNAVAILABLE: 'the archive cannot be reached',
  ARCHIVE_FULL: 'the archive has no room left',
  ARCHIVE_DAMAGED: 'an object of the archive is damaged; the log of the server names it',
  ARCHIVE_MISSING: 'an object of the archive is missing; the log of the server names it',
  ARCHIVE_CONFLICT: 'an object of the archive holds other records than the log; the log of the server names it',
  ARCHIVE_MISCONFIGURED: 'the archive refuses its operator; the log of the server says why',
};
const DEFECT = 'the server met a fault of its own; its log says which';

export const kebab = (code: string): string => code.toLowerCase().replaceAll('_', '-');
/** The code in words: BAD_REQUEST is `Bad request`. */
const titleOf = (code: string): string => {
  const words = code.toLowerCase().replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
};

type Details = Omit<Problem, 'type' | 'title'>;
export const problemOf = (details: Details): Problem => ({
  type: `https://meterfold.dev/problems/${kebab(details.code)}`,
  title: titleOf(details.code),
  ...details,
});

/** Any thrown value as what the caller is told. Internals stay inside. */
export function failureOf(error: unknown): Failure {
  if (!(error instanceof MeterError)) return { problem: problemOf({ status: 500, code: 'INTERNAL', detail: DEFECT }) };
  const { code, kind, message } = error;
  const { field, value, allowed, retryAfterMs } = error.detail;
  const status = STATUS[code] ?? STATUS_OF_KIND[kind];
  const detail = PUBLIC[code] ?? (kind === 'fatal' ? DEFECT : message);
  const problem = problemOf({ status, detail, code, field, value, allowed });
  return status === 503 ? { problem, retryAfterMs: retryAfterMs ?? RETRY_AFTER_MS } : { problem };
}

export function sendProblem(reply: FastifyReply, { problem, retryAfterMs }: Failure): FastifyReply {
  if (retryAfterMs !== undefined) reply.header('retry-after', String(Math.max(1, Math.ceil(retryAfterMs / 1000))));
  return reply.code(problem.status).type('application/problem+json').serializer(JSON.stringify).send(problem);
}
