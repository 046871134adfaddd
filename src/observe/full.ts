/** A store that has no room left says so in words of its own, somewhere in the causes of the failure that is waited for. */
import { MeterError } from '../errors.ts';
import { DISK_FULL } from '../sinks/postgres/sqlstates.ts';
import { counters, type Registry } from './metrics.ts';

export type Store = 'archive' | 'database' | 'speed';

export function fullStoreOf(error: unknown): Store | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error instanceof MeterError && error.code === 'ARCHIVE_FULL') return 'archive';
  if ('code' in error && error.code === DISK_FULL) return 'database';
  if (/\bOOM command not allowed\b/.test(error.message)) return 'speed';
  return fullStoreOf(error.cause);
}

const shown = new WeakMap<Registry, (error: unknown) => void>();

/** One counter for whoever meets such a failure first. */
export function fullStores(registry: Registry): (error: unknown) => void {
  const known = shown.get(registry);
  if (known !== undefined) return known;
  const stores: readonly Store[] = ['archive', 'database', 'speed'];
  const metric = { name: 'meterfold_full_total', help: 'Failures of a store that has no room left' };
  const count = counters(registry, metric, 'store', stores);
  const full = (error: unknown): void => {
    const store = fullStoreOf(error);
    if (store !== undefined) count(store);
  };
  shown.set(registry, full);
  return full;
}
