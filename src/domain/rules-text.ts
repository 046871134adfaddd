/** A rule set as it is stored, and back. */
import type { TypeSchema } from './event-schema.ts';
import { type Meter, meterId, type MeterSet, meterSetOf } from './meter.ts';
import type { RuleSet } from './rules.ts';
import type { SpreadStep } from './routing.ts';

type Plain = Omit<Meter, 'filter'> & { readonly filter: readonly (readonly [string, readonly string[]])[] };

interface Stored {
  readonly implicit: boolean;
  readonly meters: readonly Plain[];
  readonly current: readonly string[] | null;
  readonly tenants: 'open' | readonly string[];
  readonly spread: readonly (readonly [string, readonly SpreadStep[]])[];
  readonly maxGroups: number;
  /** Not there in what was recorded before there were schemas. */
  readonly schemas?: readonly (readonly [string, TypeSchema])[];
}

const plain = ({ filter, ...meter }: Meter): Plain => ({
  ...meter,
  filter: [...filter].map(([name, values]) => [name, [...values].sort()] as const).sort(),
});

export function encodeRules({ meters, current, tenants, spread, maxGroups, schemas }: RuleSet): string {
  const stored: Stored = {
    implicit: meters.implicit,
    meters: meters.meters.map(plain).sort((a, b) => (meterId(a) < meterId(b) ? -1 : 1)),
    current: current === undefined ? null : [...current].sort(),
    tenants: tenants === 'open' ? tenants : [...tenants].sort(),
    spread: [...spread].sort(([a], [b]) => (a < b ? -1 : 1)),
    maxGroups,
    schemas: [...schemas].sort(([a], [b]) => (a < b ? -1 : 1)),
  };
  return JSON.stringify(stored);
}

/** `implicit`: shared by all sets that have implicit meters. `as` says what meters are to this process. */
export function decodeRules(
  version: number,
  text: string,
  implicit: MeterSet,
  as: (meters: readonly Meter[]) => readonly Meter[] = (meters) => meters,
): RuleSet {
  const stored = JSON.parse(text) as Stored;
  const recorded = stored.meters.map(({ filter, ...meter }): Meter => ({
    ...meter,
    filter: new Map(filter.map(([name, values]) => [name, new Set(values)])),
  }));
  const meters = as(recorded);
  const beside = stored.implicit ? implicit : undefined;
  return {
    version,
    meters: meters.length === 0 && stored.implicit ? implicit : meterSetOf(meters, beside),
    current: stored.current === null ? undefined : new Set(stored.current),
    tenants: stored.tenants === 'open' ? stored.tenants : new Set(stored.tenants),
    spread: new Map(stored.spread),
    maxGroups: stored.maxGroups,
    schemas: new Map(stored.schemas),
  };
}
