import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { UsageEvent } from './event.ts';
import { isFault } from './fault.ts';
import type { Schema } from './event-schema.ts';
import { parseMeters } from './meters-file.ts';
import {
  concealing,
  hashOf,
  isPrivacy,
  knowingHashes,
  type Privacy,
  secretPrint,
  type TypePrivacy,
  unkeepable,
  unmeasurable,
  usesHashes,
} from './privacy.ts';

const SECRET = Buffer.alloc(32, 7);
const eventOf = (properties: unknown, subject: string | null = null, type = 'call'): UsageEvent => ({
  tenant: 'acme',
  type,
  quantity: 1n,
  key: 'k',
  timestamp: 1,
  subject,
  properties: JSON.stringify(properties),
});
const left = (privacy: Privacy, properties: unknown, subject: string | null = null): [unknown, string | null] => {
  const outcome = concealing(privacy, SECRET)(eventOf(properties, subject));
  if (isFault(outcome)) throw new Error(outcome.code);
  return [JSON.parse(outcome.properties), outcome.subject];
};
const h = (text: string): string => `h:${createHmac('sha256', SECRET).update(text).digest('base64url')}`;

describe('privacy', () => {
  test('the longest path that leads to a value decides, else the default', () => {
    const privacy: Privacy = { call: { default: 'drop', properties: { user: 'hash', 'user.country': 'keep', ms: 'keep' } } };
    const properties = { user: { id: 'u1', country: 'fr', deep: { name: 'x' } }, ms: 5, other: { note: 'secret' } };
    expect(left(privacy, properties)).toEqual([
      { user: { id: h('u1'), country: 'fr', deep: { name: h('x') } }, ms: 5 },
      null,
    ]);
  });

  test('a name that only begins like a path is another one', () => {
    expect(left({ call: { properties: { user: 'drop' } } }, { user: 1, user_id: 2 })).toEqual([{ user_id: 2 }, null]);
  });

  test('values of lists have the path of the list, also inside the maps that it holds', () => {
    const privacy: Privacy = { call: { properties: { 'people.email': 'drop', tags: 'hash' } } };
    const properties = { people: [{ email: 'a', age: 1 }, { email: 'b' }], tags: ['x', ['y']], kept: [1, {}, []] };
    expect(left(privacy, properties)).toEqual([{ people: [{ age: 1 }], tags: [h('x'), [h('y')]], kept: [1, {}, []] }, null]);
  });

  test('hashes a number as its text, as groups do; null tells nothing and stays', () => {
    const hashed = left({ call: { default: 'hash' } }, { a: 1, b: '1', c: null, d: true });
    expect(hashed).toEqual([{ a: h('1'), b: h('1'), c: null, d: h('true') }, null]);
  });

  test('the subject follows its own path, never the default', () => {
    expect(left({ call: { default: 'drop' } }, {}, 'ann')).toEqual([{}, 'ann']);
    expect(left({ call: { properties: { subject: 'hash' } } }, {}, 'ann')).toEqual([{}, h('ann')]);
    expect(left({ call: { properties: { subject: 'drop' } } }, { a: 1 }, 'ann')).toEqual([{ a: 1 }, null]);
  });

  test('a type without an entry follows *, and without that nothing', () => {
    const properties = { a: 1 };
    expect(left({ '*': { default: 'drop' } }, properties)).toEqual([{}, null]);
    expect(left({ other: { default: 'drop' } }, properties)).toEqual([properties, null]);
    expect(left({ '*': { default: 'drop' }, call: {} }, properties)).toEqual([properties, null]);
  });

  test('what no longer fits is refused, and no secret is a defect, not a value in the clear', () => {
    const many = Object.fromEntries(Array.from({ length: 2000 }, (_, n) => [`p${String(n)}`, n]));
    expect(concealing({ call: { default: 'hash' } }, SECRET)(eventOf(many))).toMatchObject({ code: 'PROPERTIES_TOO_LARGE' });
    expect(() => concealing({ call: { default: 'hash' } }, undefined)(eventOf({ a: 1 }))).toThrow('no secret');
  });

  test('with drop, no planted value and no planted name is left, wherever it stood', () => {
    const planted = fc.letrec((tie) => ({
      node: fc.oneof(
        { depthSize: 'small' },
        fc.constant('PLANTED'),
        fc.array(tie('node'), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom('PLANTED', 'x'), tie('node')),
      ),
    })).node;
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom('PLANTED', 'y'), planted), (properties) => {
        const [rest] = left({ call: { default: 'drop' } }, properties);
        expect(JSON.stringify(rest)).not.toContain('PLANTED');
      }),
    );
  });

  test('is applied twice to the same event with the same result', () => {
    const conceal = concealing({ call: { default: 'hash' } }, SECRET);
    expect(conceal(eventOf({ a: 'x' }))).toEqual(conceal(eventOf({ a: 'x' })));
    expect(hashOf(SECRET, 'x')).not.toBe(hashOf(Buffer.alloc(32, 8), 'x'));
    expect(secretPrint(SECRET)).not.toContain(SECRET.toString('hex'));
  });

  test('is read strictly', () => {
    for (const right of [{}, { a: {} }, { a: { default: 'drop', properties: { 'x.y': 'hash' } } }])
      expect(isPrivacy(right)).toBe(true);
    for (const wrong of [
      ...[null, [], 'drop', { a: 'drop' }, { a: { default: 'delete' } }, { a: { properties: { x: true } } }],
      ...[{ a: { properties: [] } }, { a: { properties: { 'x..y': 'drop' } } }, { a: { property: {} } }],
    ])
      expect(isPrivacy(wrong)).toBe(false);
    expect(usesHashes({ a: { default: 'drop' } })).toBe(false);
    expect(usesHashes({ a: { default: 'hash' } }) && usesHashes({ a: { properties: { x: 'hash' } } })).toBe(true);
  });
});

const METERS = parseMeters(`
meters:
  - { key: by_region, event_type: call, aggregation: count, group_by: [region], filter: { plan: gold } }
  - { key: longest, event_type: call, aggregation: max, value: timing.ms }
  - { key: calls, event_type: call, aggregation: sum }
`);

describe('meters under privacy', () => {
  test('a meter that needs what is dropped, or a number that is hashed, is named with it', () => {
    expect(unmeasurable({ call: { default: 'drop', properties: { plan: 'hash' } } }, METERS)).toEqual([
      'meter by_region needs region of call, which privacy drops',
      'meter longest needs timing.ms of call, which privacy drops',
    ]);
    expect(unmeasurable({ call: { default: 'hash' } }, METERS)).toEqual([
      'meter longest needs timing.ms of call as a number, which privacy hashes',
    ]);
    expect(unmeasurable({ '*': { properties: { timing: 'drop' } } }, METERS)).toHaveLength(1);
    expect(unmeasurable({ other: { default: 'drop' } }, METERS)).toEqual([]);
  });

  test('a schema that requires what is dropped is named with it; what is hashed is there', () => {
    const properties: Schema = { required: ['user', 'toString'], properties: { user: { required: ['email'] }, plan: {} } };
    const schemas = new Map([['call', { version: 1, properties }]]);
    const lost = (rules: TypePrivacy, type = 'call') => unkeepable({ [type]: rules }, schemas);
    expect(lost({ properties: { 'user.email': 'drop', plan: 'drop' } })).toEqual([
      'the schema of call requires user.email, which privacy drops',
    ]);
    expect(lost({ default: 'drop', properties: { user: 'keep' } })).toEqual([
      'the schema of call requires toString, which privacy drops',
    ]);
    expect(lost({ default: 'drop' }, '*')).toHaveLength(2);
    expect([lost({ default: 'hash' }), lost({ default: 'drop' }, 'other')]).toEqual([[], []]);
    expect(unkeepable({ call: { default: 'drop' } }, new Map([['call', { version: 2, properties: true }]]))).toEqual([]);
  });

  test('a filter knows the hashes of its values, and its values', () => {
    const { filter } = knowingHashes(METERS.meters, SECRET).find(({ key }) => key === 'by_region')!;
    expect([...filter.get('plan')!]).toEqual(['gold', h('gold')]);
    expect(knowingHashes(METERS.meters, undefined)).toBe(METERS.meters);
    expect(knowingHashes([], SECRET)).toEqual([]);
  });
});
