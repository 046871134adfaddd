/** Rule sets without a database: one version, or a list of them. */
import type { RuleSets } from '../../src/contract.ts';
import { NO_SCHEMAS } from '../../src/domain/event-schema.ts';
import { type MeterSet, meterId } from '../../src/domain/meter.ts';
import { NO_SPREAD } from '../../src/domain/routing.ts';
import { MAX_GROUPS, type RuleSet } from '../../src/domain/rules.ts';

/** A rule set as a first start without a file would record it, but for what is given. */
export const ruleSet = (meters: MeterSet, over: Partial<RuleSet> = {}): RuleSet => ({
  version: 1,
  meters,
  current: meters.implicit ? undefined : new Set(meters.meters.map(meterId)),
  tenants: 'open',
  spread: NO_SPREAD,
  maxGroups: MAX_GROUPS,
  schemas: NO_SCHEMAS,
  ...over,
});

/** For what asks of versions and never of what they hold. */
export const versions = (demand: (version: number) => Promise<void> = () => Promise.resolve(), version = 1) => ({
  newest: { version },
  refresh: () => Promise.resolve(),
  demand,
});

/** The last one is the newest; every meter answers, unless `serving` says which do. */
export function fixedRules(sets: readonly [RuleSet, ...RuleSet[]], serving?: ReadonlySet<string>): RuleSets {
  const newest = sets.reduce((a, b) => (a.version > b.version ? a : b));
  const all = new Set(sets.flatMap(({ meters }) => meters.meters.map(meterId)));
  return {
    newest,
    serving: serving ?? all,
    get: (version) => {
      const found = sets.find((set) => set.version === version);
      if (found === undefined) throw new RangeError(`no rule set ${String(version)}`);
      return found;
    },
    refresh: () => Promise.resolve(),
    demand: () => Promise.resolve(),
  };
}
