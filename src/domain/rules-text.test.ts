import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { schemas } from '../../test/support/schemas.ts';
import { implicitMeters, type Meter, meterId, type MeterSet, meterSetOf } from './meter.ts';
import { firstRules, type RuleSet } from './rules.ts';
import { decodeRules, encodeRules } from './rules-text.ts';

const IMPLICIT = implicitMeters();
const name = fc.constantFrom('k', 'l', 'tokens', '__proto__', 'é"\\');
const names = fc.uniqueArray(name, { maxLength: 3 });

const meter: fc.Arbitrary<Meter> = fc.record({
  key: name,
  eventType: name,
  aggregation: fc.constantFrom('sum', 'unique_count', 'time_weighted_sum'),
  value: fc.oneof(fc.constant('quantity' as const), fc.array(name, { minLength: 1, maxLength: 2 })),
  groupBy: names,
  filter: fc
    .uniqueArray(fc.tuple(name, names), { selector: ([one]) => one, maxLength: 3 })
    .map((all) => new Map(all.map(([one, values]) => [one, new Set(values)]))),
  unit: fc.constantFrom(null, 'GB-hours'),
  holdMinutes: fc.nat(44_640),
  version: fc.integer({ min: 1, max: 4 }),
});
const step = fc.record({ from: fc.nat(), keys: fc.integer({ min: 1, max: 256 }) });
const ruleSet: fc.Arbitrary<RuleSet> = fc
  .record({
    list: fc.uniqueArray(meter, { selector: meterId, maxLength: 5 }),
    isBeside: fc.boolean(),
    hasFile: fc.boolean(),
    version: fc.integer({ min: 1, max: 99 }),
    tenants: fc.oneof(
      fc.constant('open' as const),
      names.map((all) => new Set(all)),
    ),
    spread: fc
      .uniqueArray(fc.tuple(name, fc.array(step, { maxLength: 3 })), { selector: ([one]) => one, maxLength: 3 })
      .map((all) => new Map(all)),
    maxGroups: fc.integer({ min: 1, max: 10_000 }),
    schemas: fc
      .uniqueArray(fc.tuple(name, fc.record({ version: fc.integer({ min: 1, max: 9 }), properties: schemas })), {
        ...{ selector: ([one]) => one, maxLength: 3 },
      })
      .map((all) => new Map(all)),
  })
  .map(({ list, isBeside, hasFile, ...rest }) => ({
    ...rest,
    meters: meterSetOf(list, isBeside ? IMPLICIT : undefined),
    current: hasFile ? new Set(list.slice(0, 2).map(meterId)) : undefined,
  }));

const byId = (a: Meter, b: Meter): number => (meterId(a) < meterId(b) ? -1 : 1);
/** A set of meters as what it measures: two of them cannot be compared otherwise. */
const shown = ({ meters, ...rest }: RuleSet) => ({
  ...rest,
  implicit: meters.implicit,
  meters: [...meters.meters].sort(byId),
  byType: ['k', 'tokens', 'stray'].map((type) => [...meters.forType(type)].sort(byId)),
  found: ['k', 'l', 'stray'].map((key) => [meters.find(key), meters.find(key, 1), meters.find(key, 3)]),
});

describe('a rule set as text', () => {
  test('is read as it was written', () => {
    fc.assert(
      fc.property(ruleSet, (set) => {
        expect(shown(decodeRules(set.version, encodeRules(set), IMPLICIT))).toEqual(shown(set));
      }),
      { numRuns: 300 },
    );
  });

  test('is the same for the same rules, in whatever order they stand', () => {
    fc.assert(
      fc.property(ruleSet, (set) => {
        const turn = (meters: MeterSet): readonly Meter[] =>
          meters.meters.toReversed().map((m) => ({ ...m, filter: turnedFilter(m.filter) }));
        const turned: RuleSet = {
          ...set,
          meters: meterSetOf(turn(set.meters), set.meters.implicit ? IMPLICIT : undefined),
          current: set.current && new Set([...set.current].reverse()),
          tenants: set.tenants === 'open' ? set.tenants : new Set([...set.tenants].reverse()),
          spread: new Map([...set.spread].reverse()),
          schemas: new Map([...set.schemas].reverse()),
        };
        expect(encodeRules(turned)).toBe(encodeRules(set));
      }),
    );
  });

  test('of before there were schemas has none', () => {
    const { schemas, ...before } = JSON.parse(encodeRules(firstRules({}, IMPLICIT))) as { schemas: unknown };
    expect(schemas).toEqual([]);
    expect(decodeRules(1, JSON.stringify(before), IMPLICIT).schemas).toEqual(new Map());
  });

  test('without a file shares the implicit meters of all', () => {
    const set: RuleSet = {
      ...{ version: 1, meters: IMPLICIT, current: undefined, tenants: 'open', spread: new Map(), maxGroups: 5 },
      schemas: new Map(),
    };
    expect(decodeRules(1, encodeRules(set), IMPLICIT)).toEqual(set);
    expect(decodeRules(1, encodeRules(set), IMPLICIT).meters).toBe(IMPLICIT);
  });
});

function turnedFilter(filter: Meter['filter']): Meter['filter'] {
  return new Map([...filter].reverse().map(([one, values]) => [one, new Set([...values].reverse())]));
}
