import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { memberOf } from './distinct.ts';
import type { UsageEvent } from './event.ts';
import { measure, type Meter, type Place } from './meter.ts';

const PLACE: Place = { depth: 1, lineage: 'pg.a.0', position: '00000000000000000007' };
const MINUTE = 60_000_000;
const EVENT: UsageEvent = {
  tenant: 'acme',
  type: 'tokens',
  quantity: 7n,
  key: 'k',
  timestamp: 29_000_000 * MINUTE,
  subject: null,
  properties: '{}',
};
const METER: Meter = {
  key: 'm',
  eventType: 'tokens',
  aggregation: 'sum',
  value: 'quantity',
  groupBy: [],
  filter: new Map(),
  unit: null,
  holdMinutes: 0,
  version: 1,
};

const ONE = 10n ** 12n;
const filterOf = (filter: Record<string, readonly string[]>): Meter['filter'] =>
  new Map(Object.entries(filter).map(([name, values]) => [name, new Set(values)]));

function measured(meter: Partial<Meter>, properties: unknown = {}, event: Partial<UsageEvent> = {}) {
  const whole = { ...EVENT, properties: JSON.stringify(properties), ...event };
  return measure(whole, PLACE, [{ ...METER, ...meter }]);
}
const contribution = (...args: Parameters<typeof measured>) => measured(...args).contributions[0];
const counts = (filter: Record<string, readonly string[]>, properties: unknown): boolean =>
  contribution({ filter: filterOf(filter) }, properties) !== undefined;

describe('measure', () => {
  test('an event adds its quantity to the cell of its tenant, meter and minute', () => {
    expect(measured({})).toEqual({
      contributions: [
        { tenant: 'acme', meter: 'm@1', minute: 29_000_000, group: '[]', aggregation: 'sum', value: 7n, order: '' },
      ],
      skipped: [],
    });
  });

  test('a minute lasts from its first microsecond to its last', () => {
    expect(contribution({}, {}, { timestamp: EVENT.timestamp + MINUTE - 1 })?.minute).toBe(29_000_000);
    expect(contribution({}, {}, { timestamp: EVENT.timestamp + MINUTE })?.minute).toBe(29_000_001);
    expect(contribution({}, {}, { timestamp: 0 })?.minute).toBe(0);
  });

  test('properties are not read where no meter asks for them', () => {
    expect(contribution({}, {}, { properties: 'no JSON' })?.value).toBe(7n);
  });

  test.each<[string, readonly string[], unknown, bigint]>([
    ['a number', ['tokens'], { tokens: 2.5 }, (25n * ONE) / 10n],
    ['a decimal text', ['tokens'], { tokens: '12345678901234567890.5' }, 123456789012345678905n * (ONE / 10n)],
    ['along a path', ['usage', 'out', 'tokens'], { usage: { out: { tokens: 3 } } }, 3n * ONE],
    ['in a list', ['calls', '1'], { calls: [1, 2] }, 2n * ONE],
    ['below zero', ['delta'], { delta: -1 }, -ONE],
    ['zero', ['tokens'], { tokens: 0 }, 0n],
    ['an exponent', ['tokens'], { tokens: 1e21 }, 10n ** 33n],
  ])('a path leads to the value: %s', (_, value, properties, expected) => {
    expect(contribution({ value }, properties)?.value).toBe(expected);
  });

  test.each<[string, readonly string[], unknown]>([
    ['absent', ['tokens'], {}],
    ['absent on the way', ['usage', 'tokens'], {}],
    ['null', ['tokens'], { tokens: null }],
    ['null on the way', ['usage', 'tokens'], { usage: null }],
    ['a text on the way', ['usage', 'length'], { usage: 'abc' }],
    ['a boolean', ['tokens'], { tokens: true }],
    ['an object', ['usage'], { usage: { tokens: 1 } }],
    ['no decimal', ['tokens'], { tokens: 'many' }],
    ['of too many digits', ['tokens'], { tokens: '0.0000000000001' }],
    ['inherited', ['constructor', 'length'], {}],
    ['of the prototype', ['__proto__'], {}],
  ])('a meter skips an event whose value is %s', (_, value, properties) => {
    expect(measured({ value }, properties)).toEqual({ contributions: [], skipped: ['m'] });
  });

  test('other meters do not skip with it', () => {
    const meters = [
      { ...METER, key: 'a', value: ['gone'] },
      { ...METER, key: 'b' },
      { ...METER, key: 'c', value: ['n'] },
    ];
    const { contributions, skipped } = measure({ ...EVENT, properties: '{"n":1}' }, PLACE, meters);
    expect(contributions.map(({ meter, value }) => [meter, value])).toEqual([
      ['b@1', 7n],
      ['c@1', ONE],
    ]);
    expect(skipped).toEqual(['a']);
  });

  test('count has no value: none is looked for', () => {
    expect(measured({ aggregation: 'count', value: ['gone'] })).toMatchObject({
      skipped: [],
      contributions: [{ value: 0n }],
    });
  });

  test.each<[string, Record<string, readonly string[]>, unknown, boolean]>([
    ['one of the values', { region: ['eu', 'us'] }, { region: 'us' }, true],
    ['none of the values', { region: ['eu', 'us'] }, { region: 'ap' }, false],
    ['every property has one', { region: ['eu'], tier: ['1'] }, { region: 'eu', tier: 1 }, true],
    ['one property has none', { region: ['eu'], tier: ['1'] }, { region: 'eu', tier: 2 }, false],
    ['a path', { 'user.paid': ['true'] }, { user: { paid: true } }, true],
    ['a property that is absent', { region: ['eu'] }, {}, false],
    ['null is not the text null', { region: ['null'] }, { region: null }, false],
    ['an object is no value', { region: ['{}', '[object Object]'] }, { region: {} }, false],
    ['a list is no value', { region: ['eu'] }, { region: ['eu'] }, false],
    ['a name with a point is a path only', { 'user.paid': ['true'] }, { 'user.paid': true }, false],
  ])('a filter decides whether the event counts: %s', (_, filter, properties, expected) => {
    expect(counts(filter, properties)).toBe(expected);
  });

  test('an event that a filter leaves out is not skipped: its value is not missed', () => {
    expect(measured({ filter: filterOf({ region: ['eu'] }), value: ['gone'] })).toEqual({ contributions: [], skipped: [] });
  });

  test.each<[string, readonly string[], unknown, string]>([
    ['a text', ['model'], { model: 'small' }, '["small"]'],
    ['numbers and booleans, as text', ['n', 'b'], { n: 1.5, b: false }, '["1.5","false"]'],
    ['null for what is absent', ['model'], {}, '[null]'],
    ['null for null', ['model'], { model: null }, '[null]'],
    ['null for what has parts', ['o', 'l'], { o: { a: 1 }, l: [1] }, '[null,null]'],
    ['a path', ['user.id', 'user.org.name'], { user: { id: 7, org: { name: 'o"x' } } }, '["7","o\\"x"]'],
    ['in the order of the meter', ['b', 'a'], { a: 'A', b: 'B' }, '["B","A"]'],
  ])('a group is made of the values: %s', (_, groupBy, properties, group) => {
    expect(contribution({ groupBy }, properties)?.group).toBe(group);
  });

  test('a group of null is not the group of the text null', () => {
    const group = (model: unknown) => contribution({ groupBy: ['model'] }, { model })?.group;
    expect(group(null)).not.toBe(group('null'));
    expect(group('1')).toBe(group(1));
  });

  test.each(['sum', 'count', 'min', 'max', 'average'] as const)('%s needs no order', (aggregation) => {
    expect(contribution({ aggregation })).toMatchObject({ aggregation, order: '' });
  });

  test('the order of latest goes by time, then depth, then lineage, then position', () => {
    const place = fc.record({
      timestamp: fc.constantFrom(0, 9, 10, 4_102_444_800_000_000, Number.MAX_SAFE_INTEGER - 1),
      depth: fc.constantFrom(0, 2, 10, 9999),
      lineage: fc.constantFrom('pg.a.0', 'pg.a.1', 'pg.b.0'),
      position: fc.nat(20).map((n) => String(n).padStart(20, '0')),
    });
    type At = Place & { readonly timestamp: number };
    const orderOf = ({ timestamp, ...at }: At): string =>
      measure({ ...EVENT, timestamp }, at, [{ ...METER, aggregation: 'latest' }]).contributions[0]?.order ?? '';
    const compare = (a: string | number, b: string | number): number => (a < b ? -1 : a > b ? 1 : 0);
    const later = (a: At, b: At): number =>
      compare(a.timestamp, b.timestamp) ||
      compare(a.depth, b.depth) ||
      compare(a.lineage, b.lineage) ||
      compare(a.position, b.position);
    fc.assert(fc.property(place, place, (a, b) => compare(orderOf(a), orderOf(b)) === later(a, b)));
  });
});

describe('a unique count', () => {
  const member = (properties: unknown) =>
    contribution({ aggregation: 'unique_count', value: ['user', 'id'] }, properties)?.member;

  test('takes what stands for the value: the same for a number and its text, never the value itself', () => {
    expect(member({ user: { id: 'ada' } })).toBe(memberOf('ada'));
    expect(member({ user: { id: 7 } })).toBe(member({ user: { id: '7' } }));
    expect(member({ user: { id: true } })).toBe(memberOf('true'));
    expect(member({ user: { id: '' } })).toBe(memberOf(''));
  });

  test.each([{}, { user: null }, { user: { id: null } }, { user: { id: [1] } }, { user: { id: {} } }])(
    'skips an event whose value is none: %j',
    (properties) => {
      const counted: Partial<Meter> = { aggregation: 'unique_count', value: ['user', 'id'] };
      expect(measured(counted, properties)).toEqual({ contributions: [], skipped: ['m'] });
    },
  );

  test('of quantities counts nothing: the meters file refuses it', () => {
    expect(measured({ aggregation: 'unique_count' })).toEqual({ contributions: [], skipped: ['m'] });
  });
});

describe('a gauge', () => {
  const reading = (timestamp: number) =>
    contribution({ aggregation: 'time_weighted_sum', holdMinutes: 5 }, {}, { timestamp });

  test('reads its value in the second of the event, and orders readings as latest does', () => {
    const latest = contribution({ aggregation: 'latest' });
    expect(reading(EVENT.timestamp)).toEqual({ ...latest, aggregation: 'time_weighted_sum', second: 29_000_000 * 60 });
    const seconds = [0, 999_999, 1_000_000, 59_999_999].map((micros) => reading(EVENT.timestamp + micros)?.second);
    expect(seconds.map((second) => second! - 29_000_000 * 60)).toEqual([0, 0, 1, 59]);
  });
});
