/** The meters of the simulated world: each version of a key sums up in another way. */
import type { Meter } from '../../src/domain/meter.ts';
import { EVENT_TYPE, kindOf } from './sizes.ts';

export function meterOf(key: string, version: number): Meter {
  const aggregation = kindOf(`${key}@${version}`);
  if (aggregation === undefined) throw new Error(`no meter ${key}`);
  const plain = { value: 'quantity', groupBy: [], filter: new Map(), unit: null, holdMinutes: 0 } as const;
  return { ...plain, key, eventType: EVENT_TYPE, aggregation, version };
}
