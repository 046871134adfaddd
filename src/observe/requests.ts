/** Requests and what they were answered. */
import { FAILURES } from '../errors.ts';
import type { FactsPorts } from './facts-ports.ts';
import { fullStores } from './full.ts';
import { counters, countersBy, secondsBy } from './metrics.ts';

/** Facts of the HTTP edge. */
export interface HttpFacts {
  /** `route` is the declared pattern, never the caller's path. */
  answered(request: {
    readonly route: string;
    readonly method: string;
    readonly status: number;
    readonly seconds: number;
  }): void;
  /** A request met an error that is not the caller's. */
  failed(route: string, code: string, error: unknown): void;
  /** A query was answered; `reason` is why it is not exact beyond the cut. */
  proved(state: string, reason: string | undefined): void;
}

export function httpFacts({ registry: r, logger }: FactsPorts): HttpFacts {
  const requests = countersBy(r, { name: 'meterfold_http_requests_total', help: 'Requests answered' }, [
    'method',
    'route',
    'status',
  ]);
  const elapsed = secondsBy(r, { name: 'meterfold_http_request_seconds', help: 'Time to answer, by route' }, 'route');
  const errors = counters(
    r,
    { name: 'meterfold_http_errors_total', help: 'Requests that met a fault of ours' },
    'code',
    knownFaults,
  );
  const proofs = counters(
    r,
    { name: 'meterfold_answers_total', help: 'Answers by their proof: exact, or why they are exact only as of the cut' },
    'state',
    ['exact'],
  );
  const full = fullStores(r);
  return {
    proved: (state, reason) => {
      proofs(reason ?? state);
    },
    answered: ({ route, method, status, seconds: took }) => {
      requests(method, route, String(status));
      elapsed(route, took);
      logger.debug({ route, method, status, seconds: took }, 'answered');
    },
    failed: (route, code, err) => {
      errors(code);
      full(err);
      logger[transient.has(code) ? 'warn' : 'error']({ route, code, err }, 'request failed');
    },
  };
}

const transient = new Set(Object.entries(FAILURES).flatMap(([code, kind]) => (kind === 'transient' ? [code] : [])));
const knownFaults = [...transient];
