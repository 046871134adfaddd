/** What is waited for, and what stopped for good. */
import type { Facts } from '../contract.ts';
import { MeterError } from '../errors.ts';
import type { FactsPorts } from './facts-ports.ts';
import { fullStores } from './full.ts';
import { counters, gauges, gaugesBy } from './metrics.ts';

/** What is waited for now, with what it failed with last; what stopped for good is among it. */
export interface Waits {
  waits(): readonly { readonly what: string; readonly why: string }[];
}

export function waitFacts({
  registry: r,
  logger,
}: FactsPorts): Pick<Facts, 'waiting' | 'recovered' | 'released' | 'stopped'> & Waits {
  const failures = counters(r, { name: 'meterfold_failures_total', help: 'Failures that are waited for' }, 'what');
  const waiting = gauges(r, { name: 'meterfold_waiting', help: '1 while a dependency is waited for' }, 'what');
  const stopped = gaugesBy(r, { name: 'meterfold_stopped', help: '1 where work stopped for good, by the code of why' }, [
    'what',
    'code',
  ]);
  const full = fullStores(r);
  const down = new Map<string, string>();
  return {
    waiting: (what, err) => {
      failures(what);
      waiting(what, 1);
      full(err);
      // A dependency that stays down fails at every try: one line says it.
      logger[down.has(what) ? 'debug' : 'warn']({ what, err }, 'waiting for a dependency');
      down.set(what, messageOf(err));
    },
    recovered: (what) => {
      waiting(what, 0);
      down.delete(what);
      logger.info({ what }, 'recovered');
    },
    released: (what) => {
      if (down.delete(what)) waiting(what, 0);
    },
    stopped: (what, err) => {
      stopped(1, what, err instanceof MeterError ? err.code : 'DEFECT');
      down.set(what, messageOf(err));
      logger.error({ what, err }, 'stopped');
    },
    waits: () => [...down].map(([what, why]) => ({ what, why })),
  };
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
