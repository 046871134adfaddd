import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Schema } from './event-schema.ts';
import { implicitMeters, type Meter } from './meter.ts';
import { parseMeters } from './meters-file.ts';
import type { SpreadStep } from './routing.ts';
import { type Declared, firstRules, nextRules, type RuleSet } from './rules.ts';
import { decodeRules, encodeRules } from './rules-text.ts';

const IMPLICIT = implicitMeters();
const none = (): boolean => false;
/** As the next start finds it: what is recorded was written and read. */
const recorded = (set: RuleSet): RuleSet => decodeRules(set.version, encodeRules(set), IMPLICIT);
const after = (first: Declared, then: Declared, answers: (meter: string) => boolean = none): RuleSet | undefined =>
  nextRules([recorded(firstRules(first, IMPLICIT))], then, IMPLICIT, answers);

const entry = fc.record({
  event_type: fc.constantFrom('tokens', 'calls'),
  aggregation: fc.constantFrom('sum', 'max', 'latest'),
  value: fc.constantFrom('quantity', 'usage.n'),
  group_by: fc.uniqueArray(fc.constantFrom('model', 'region', 'user.id'), { maxLength: 3 }),
  filter: fc.dictionary(
    fc.constantFrom('region', 'tier', 'paid'),
    fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { maxLength: 3 }),
  ),
  unit: fc.constantFrom(null, 'GB'),
});
type Entry = typeof entry extends fc.Arbitrary<infer T> ? T : never;

/** The same meters in another order, and so their fields and the parts of their filters. */
const turned = (entries: readonly Entry[]): object[] =>
  entries.toReversed().map(({ filter, ...rest }) => ({
    filter: Object.fromEntries(
      Object.entries(filter)
        .toReversed()
        .map(([name, values]) => [name, values.toReversed()]),
    ),
    ...Object.fromEntries(Object.entries(rest).toReversed()),
  }));
const keyed = (entries: readonly Entry[]) => entries.map((fields, n) => ({ key: `m${String(n)}`, ...fields }));
const metersOf = (entries: readonly object[]): readonly Meter[] => parseMeters(JSON.stringify({ meters: entries })).meters;

describe('a file that is declared again', () => {
  test('changes nothing, in whatever order its meters and their fields stand', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 5 }).map(keyed), fc.boolean(), (entries, answers) => {
        const declared = { meters: metersOf(turned(entries)) };
        expect(after({ meters: metersOf(entries) }, declared, () => answers)).toBeUndefined();
      }),
    );
  });

  test('is a change where a meter differs, and nowhere else', () => {
    const sorted = ({ filter, ...rest }: Entry) => ({
      ...rest,
      filter: Object.entries(filter)
        .map(([name, values]) => `${name}:${values.toSorted().join()}`)
        .toSorted(),
    });
    const field = fc.constantFrom('aggregation', 'value', 'group_by', 'filter', 'unit');
    fc.assert(
      fc.property(entry, entry, field, (a, other, name) => {
        const b = { ...a, [name]: other[name] };
        const next = after({ meters: metersOf(keyed([a])) }, { meters: metersOf(keyed([b])) });
        const isSame = isDeepStrictEqual(sorted(a), sorted(b));
        expect(next?.version).toBe(isSame ? undefined : 2);
        expect(next?.meters.find('m0')?.version).toBe(isSame ? undefined : 2);
      }),
    );
  });

  test('differs from implicit meters, even where it has none', () => {
    expect(after({}, { meters: [] })?.current).toEqual(new Set());
    expect(after({ meters: [] }, {})).toBeUndefined();
    expect(after({}, {})).toBeUndefined();
  });
});

const step = (from: number, keys: number): SpreadStep => ({ from, keys });
const METERS = metersOf(
  keyed([{ ...{ event_type: 'tokens', aggregation: 'sum', value: 'quantity' }, group_by: [], filter: {}, unit: null }]),
);
const WHOLE: Required<Declared> = {
  meters: METERS,
  tenants: new Set(['acme', 'zeta']),
  spread: new Map([
    ['acme', [step(1, 2), step(5, 4)]],
    ['zeta', [step(3, 2)]],
  ]),
  maxGroups: 50,
  schemas: new Map([['calls', { required: ['region'] }]]),
};
const CALLS = { version: 1, properties: { required: ['region'] } };

describe('what a start declares', () => {
  test('changes nothing where tenants and spread stand in another order', () => {
    const same = { ...WHOLE, tenants: new Set(['zeta', 'acme']), spread: new Map([...WHOLE.spread].reverse()) };
    expect(after(WHOLE, same)).toBeUndefined();
  });

  test.each<[string, Declared]>([
    ['a tenant more', { tenants: new Set(['acme', 'zeta', 'new']) }],
    ['a tenant less', { tenants: new Set(['acme']) }],
    ['tenants that need not be registered', { tenants: 'open' }],
    ['a step more', { spread: new Map([...WHOLE.spread, ['zeta', [step(3, 2), step(9, 4)]]]) }],
    ['a tenant that is spread', { spread: new Map([...WHOLE.spread, ['new', [step(9, 4)]]]) }],
    ['another bound on groups', { maxGroups: 51 }],
    ['a schema less that is asked for', { schemas: new Map([['calls', {}]]) }],
  ])('is a new version with %s, and leaves the rest as it was', (_, change) => {
    const next = after(WHOLE, { ...WHOLE, ...change });
    const { meters, current, ...rest } = next!;
    const { tenants, spread, maxGroups } = { ...WHOLE, ...change };
    const calls = change.schemas === undefined ? CALLS : { version: 2, properties: {} };
    expect(rest).toEqual({ version: 2, tenants, spread, maxGroups, schemas: new Map([['calls', calls]]) });
    expect([meters.meters, current]).toEqual([METERS, new Set(['m0@1'])]);
    expect(after(WHOLE, change)).toMatchObject(rest);
  });

  test('and leaves out stays as it is recorded', () => {
    const parts = [{ tenants: WHOLE.tenants }, { spread: WHOLE.spread }, { maxGroups: 50 }, { schemas: WHOLE.schemas }];
    for (const part of [{}, { meters: METERS }, ...parts]) expect(after(WHOLE, part)).toBeUndefined();
    const { meters, ...rest } = after(WHOLE, { maxGroups: 51, tenants: 'open' })!;
    expect(meters.meters).toEqual(METERS);
    expect(rest).toEqual({
      ...{ version: 2, current: new Set(['m0@1']), tenants: 'open', spread: WHOLE.spread, maxGroups: 51 },
      schemas: new Map([['calls', CALLS]]),
    });
  });

  test('has a schema as it is recorded, in whatever order its keywords stand', () => {
    const of = (schema: Schema): Declared => ({ schemas: new Map([['calls', schema]]) });
    expect(after(of({ title: 'a', type: 'object' }), of({ type: 'object', title: 'a' }))).toBeUndefined();
    expect(after(of({ required: ['a', 'b'] }), of({ required: ['b', 'a'] }))?.schemas.get('calls')?.version).toBe(2);
  });

  test('gives each schema versions of its own', () => {
    const [calls, disk]: readonly Schema[] = [{ required: ['region'] }, { required: ['volume'] }];
    const first = firstRules({ schemas: new Map([['calls', calls!]]) }, IMPLICIT);
    const declared: Declared = {
      schemas: new Map([
        ['disk', disk!],
        ['calls', calls!],
      ]),
    };
    const second = nextRules([first], declared, IMPLICIT, none)!;
    const third = nextRules(
      [first, recorded(second)],
      {
        schemas: new Map<string, Schema>([
          ['disk', true],
          ['calls', calls!],
        ]),
      },
      IMPLICIT,
      none,
    );
    expect([first, second, third!].map(({ schemas }) => [...schemas].map(([type, { version }]) => [type, version]))).toEqual(
      [
        [['calls', 1]],
        [
          ['disk', 1],
          ['calls', 1],
        ],
        [
          ['disk', 2],
          ['calls', 1],
        ],
      ],
    );
  });

  test('without meters leaves those that are implicit, and those that still answer beside a file', () => {
    expect(after({}, { maxGroups: 5 })).toMatchObject({ meters: { implicit: true }, current: undefined });
    const [first] = [firstRules({}, IMPLICIT)];
    const second = nextRules([first], { meters: METERS }, IMPLICIT, none)!;
    const third = nextRules([first, second], { maxGroups: 5 }, IMPLICIT, none);
    expect(third).toEqual({ ...second, version: 3, maxGroups: 5 });
  });
});
