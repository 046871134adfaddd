/**
 * Rule sets: what is measured, who is known, how tenants are spread, what event types promise. A change makes a new version, which comes into force
 * at a control record of each lineage, so that every process switches at the same position.
 */
import { canonicalJson } from './canonical.ts';
import { NO_SCHEMAS, type Schema, type Schemas } from './event-schema.ts';
import { nextSchemas } from './event-schema-change.ts';
import { type Meter, type MeterSet, meterId, meterSetOf } from './meter.ts';
import { NO_SPREAD, type Spread } from './routing.ts';

export type Tenants = 'open' | ReadonlySet<string>;

export interface RuleSet {
  /** From 1. */
  readonly version: number;
  /** What is measured under it: the meters of its file, and those whose versions still answer. */
  readonly meters: MeterSet;
  /** `key@version` of the meters of its file. Undefined: implicit meters. */
  readonly current: ReadonlySet<string> | undefined;
  readonly tenants: Tenants;
  readonly spread: Spread;
  /** Groups of one tenant, meter and minute in one segment; what lies beyond counts as `other`. */
  readonly maxGroups: number;
  /** What events of a type promise. */
  readonly schemas: Schemas;
}

/** What a start declares. What it leaves out stays as it is recorded. */
export interface Declared {
  /** Versions are not looked at. At the first start without: implicit meters. */
  readonly meters?: readonly Meter[];
  readonly tenants?: Tenants;
  readonly spread?: Spread;
  readonly maxGroups?: number;
  /** By event type. `demandWider` has seen that none takes less than what is recorded. */
  readonly schemas?: ReadonlyMap<string, Schema>;
}

export const MAX_GROUPS = 1000;

/** What makes two definitions of a key the same meter. */
const definition = ({ filter, ...meter }: Meter): string =>
  JSON.stringify({ ...meter, version: 0, filter: [...filter].map(([name, values]) => [name, [...values].sort()]).sort() });

const tenantsText = (tenants: Tenants): string => (tenants === 'open' ? tenants : JSON.stringify([...tenants].sort()));
const spreadText = (spread: Spread): string => JSON.stringify([...spread].sort(([a], [b]) => (a < b ? -1 : 1)));
const schemasText = (schemas: Schemas): string => canonicalJson(Object.fromEntries(schemas));
const metersText = (meters: readonly Meter[]): string => JSON.stringify(meters.map(definition).sort());

export const firstRules = (declared: Declared, implicit: MeterSet): RuleSet => ({
  version: 1,
  meters: declared.meters === undefined ? implicit : meterSetOf(declared.meters),
  current: declared.meters && new Set(declared.meters.map(meterId)),
  tenants: declared.tenants ?? 'open',
  spread: declared.spread ?? NO_SPREAD,
  maxGroups: declared.maxGroups ?? MAX_GROUPS,
  schemas: nextSchemas(NO_SCHEMAS, declared.schemas ?? new Map()),
});

/** The meters of the newest file; undefined where there never was one. */
const currentMeters = ({ current, meters }: RuleSet): readonly Meter[] | undefined =>
  current && meters.meters.filter((meter) => current.has(meterId(meter)));

/** The highest version that a key has ever had in these sets; an implicit meter is version 1 of its key. */
function lastVersion(history: readonly RuleSet[], key: string): number {
  const versions = history.flatMap(({ meters }) => meters.meters.filter((m) => m.key === key).map((m) => m.version));
  return Math.max(history.some(({ meters }) => meters.implicit) ? 1 : 0, ...versions);
}

/** A definition that is as it was keeps its version, if that is still measured. */
function versioned(history: readonly RuleSet[], meter: Meter): Meter {
  const same = history.at(-1)?.meters.meters.find((m) => m.key === meter.key && definition(m) === definition(meter));
  return { ...meter, version: same?.version ?? lastVersion(history, meter.key) + 1 };
}

/**
 * The next version, or undefined where nothing changes. What answers now is measured on until what takes its place can
 * answer: `answers` tells of each version whether it does.
 */
export function nextRules(
  history: readonly RuleSet[],
  declared: Declared,
  implicit: MeterSet,
  answers: (meter: string) => boolean,
): RuleSet | undefined {
  const newest = history.at(-1);
  if (newest === undefined) return firstRules(declared, implicit);
  const { tenants = newest.tenants, spread = newest.spread, maxGroups = newest.maxGroups } = declared;
  const schemas = declared.schemas === undefined ? newest.schemas : nextSchemas(newest.schemas, declared.schemas);
  const before = currentMeters(newest);
  const isSame =
    (declared.meters === undefined || (before !== undefined && metersText(before) === metersText(declared.meters))) &&
    tenantsText(newest.tenants) === tenantsText(tenants) &&
    spreadText(newest.spread) === spreadText(spread) &&
    schemasText(newest.schemas) === schemasText(schemas) &&
    newest.maxGroups === maxGroups;
  if (isSame) return undefined;
  const measured = declared.meters === undefined ? newest : nextMeters(history, newest, declared.meters, implicit, answers);
  const { meters, current } = measured;
  return { version: newest.version + 1, meters, current, tenants, spread, maxGroups, schemas };
}

function nextMeters(
  history: readonly RuleSet[],
  newest: RuleSet,
  declared: readonly Meter[],
  implicit: MeterSet,
  answers: (meter: string) => boolean,
): Pick<RuleSet, 'meters' | 'current'> {
  const meters = declared.map((meter) => versioned(history, meter));
  const current = new Set(meters.map(meterId));
  const answering = new Set(meters.filter((m) => answers(meterId(m))).map(({ key }) => key));
  // A newer version must not go on answering for one that was gone back to.
  const others = newest.meters.meters.filter((m) => !current.has(meterId(m)) && !answering.has(m.key));
  const kept = others.filter((m) => isNeeded(newest, m, answers));
  // Implicit meters go on until all that was declared after them can answer.
  const isFilling = [...(newest.current ?? [])].some((id) => !answers(id));
  const beside = newest.meters.implicit && (newest.current === undefined || isFilling) ? implicit : undefined;
  return { meters: meterSetOf([...kept, ...meters], beside), current };
}

/** Of each key the newest version that answers: it goes on until the one that takes its place does. */
function isNeeded({ meters }: RuleSet, meter: Meter, answers: (meter: string) => boolean): boolean {
  const newer = meters.meters.some((m) => m.key === meter.key && m.version > meter.version && answers(meterId(m)));
  return answers(meterId(meter)) && !newer;
}
