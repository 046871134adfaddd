import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { pairs, schemas, values } from '../../test/support/schemas.ts';
import { MeterError } from '../errors.ts';
import type { Schema, SchemaFields, Schemas } from './event-schema.ts';
import { demandWider, narrowings, nextSchemas } from './event-schema-change.ts';
import { compileSchema } from './event-schema-check.ts';

test('what is called wider takes every value that the old schema takes', () => {
  const seen = { wider: 0, taken: 0 };
  fc.assert(
    fc.property(pairs, fc.array(values, { minLength: 20, maxLength: 40 }), ([old, next], given) => {
      if (narrowings(old, next).length > 0 || JSON.stringify(old) === JSON.stringify(next)) return;
      seen.wider += 1;
      const [before, after] = [compileSchema(old), compileSchema(next)];
      for (const value of given) {
        if (before(value) !== undefined) continue;
        seen.taken += 1;
        expect({ value, wrong: after(value) }).toEqual({ value, wrong: undefined });
      }
    }),
    { numRuns: 1500 },
  );
  expect(seen.wider).toBeGreaterThan(200);
  expect(seen.taken).toBeGreaterThan(1000);
});

test('a schema is no narrower than itself', () => {
  fc.assert(fc.property(schemas, (schema) => void expect(narrowings(schema, schema)).toEqual([])));
});

const object = (fields: SchemaFields): Schema => ({ type: 'object', ...fields });
const property = (schema: Schema, more: SchemaFields = {}): Schema => object({ properties: { p: schema }, ...more });

describe('what is provably wider is taken', () => {
  test.each<[string, Schema, Schema]>([
    ['required is left out', object({ required: ['a', 'b'] }), object({ required: ['b'] })],
    ['an enum grows', property({ enum: ['a'] }), property({ enum: ['b', 'a', 1] })],
    ['an enum becomes a type', property({ enum: ['a', null] }), property({ type: ['null', 'string'] })],
    ['a constant becomes an enum', property({ const: 1 }), property({ enum: [1, 2] })],
    ['an enum loses what its type never took', property({ type: 'string', enum: ['a', 1] }), property({ enum: ['a'] })],
    ['booleans are named', property({ type: 'boolean' }), property({ enum: [true, false] })],
    ['a type grows', property({ type: 'string' }), property({ type: ['string', 'null'] })],
    ['integers become numbers', property({ type: 'integer' }), property({ type: 'number' })],
    ['numbers are numbers and integers', property({ type: 'number' }), property({ type: ['integer', 'number'] })],
    ['a minimum falls', property({ minimum: 1 }), property({ minimum: 0.5 })],
    ['a minimum includes itself', property({ exclusiveMinimum: 1 }), property({ minimum: 1 })],
    ['a minimum excludes less', property({ minimum: 1.5 }), property({ exclusiveMinimum: 1 })],
    ['a maximum rises', property({ maximum: 1, exclusiveMaximum: 2 }), property({ maximum: 1, exclusiveMaximum: 3 })],
    ['a maximum includes itself', property({ exclusiveMaximum: 1 }), property({ maximum: 1 })],
    ['a maximum excludes more', property({ maximum: 1 }), property({ exclusiveMaximum: 1.5 })],
    ['lengths widen', property({ minLength: 2, maxLength: 3 }), property({ minLength: 1, maxLength: 4 })],
    ['a least length of nothing', property({ type: 'string' }), property({ minLength: 0 })],
    ['a pattern goes', property({ pattern: '^a' }), property({})],
    ['a bound of another type', property({ type: 'string' }), property({ type: 'string', minimum: 5, minItems: 2 })],
    ['items widen', property({ items: { type: 'integer' }, maxItems: 1 }), property({ items: { type: 'number' } })],
    ['items of empty lists', property({ maxItems: 0 }), property({ maxItems: 0, items: false })],
    ['counts of properties', object({ minProperties: 2, maxProperties: 3 }), object({ minProperties: 1, maxProperties: 4 })],
    ['a closed object opens', object({ additionalProperties: false }), object({})],
    [
      'a new property of a closed object',
      object({ additionalProperties: false }),
      property({ const: 1 }, { additionalProperties: false }),
    ],
    ['a new property that may be anything', object({}), property(true)],
    [
      'what others may be, named',
      object({ additionalProperties: { type: 'string' } }),
      property({ type: ['string', 'null'] }, { additionalProperties: { type: 'string' } }),
    ],
    [
      'a property that others may be',
      property({ type: 'string' }, { additionalProperties: false }),
      object({ additionalProperties: { type: 'string' } }),
    ],
    [
      'an enum within',
      property(object({ properties: { q: { enum: ['a'] } } })),
      property(object({ properties: { q: { enum: ['a', 'b'] } } })),
    ],
    ['words change', object({ title: 'a' }), object({ title: 'b', description: 'c' })],
    ['dropped altogether', property({ type: 'string' }, { required: ['p'] }), true],
    ['dropped altogether, as an empty map', property({ type: 'string' }), {}],
    ['a type at the root that is there anyway', true, object({})],
  ])('%s', (_, old, next) => {
    expect(() => {
      demandWider(new Map([['calls', { version: 1, properties: old }]]), new Map([['calls', next]]));
    }).not.toThrow();
  });
});

describe('what is narrower, or not provably wider, is refused where it stands', () => {
  test.each<[string, Schema, Schema, string, string]>([
    ['an optional property under an open object', object({}), property({ type: 'string' }), 'p', 'type: null was taken'],
    [
      'a property under others of another type',
      object({ additionalProperties: { type: 'string' } }),
      property({ type: 'integer' }, { additionalProperties: { type: 'string' } }),
      'p',
      'type: string was taken',
    ],
    [
      'a property of the name of a method',
      object({}),
      object(JSON.parse('{"properties":{"toString":{"type":"string"}}}') as SchemaFields),
      'toString',
      'type: null was taken',
    ],
    ['required', object({}), object({ required: ['p'] }), 'p', 'required: it could be left out'],
    ['another required', object({ required: ['a'] }), object({ required: ['p'] }), 'p', 'required: it could be left out'],
    ['an enum shrinks', property({ enum: ['a', 'b'] }), property({ enum: ['b'] }), 'p', '"a" was taken'],
    ['a constant changes', property({ const: null }), property({ const: 'x' }), 'p', 'null was taken'],
    ['an enum on a type', property({ type: 'string' }), property({ enum: ['a'] }), 'p', 'enum: other values were taken'],
    [
      'an enum within a type',
      property({ type: 'string' }),
      property({ type: 'string', enum: ['a'] }),
      'p',
      'enum: other values were taken',
    ],
    [
      'a constant within a type',
      property({ type: 'integer' }),
      property({ type: 'integer', const: 1 }),
      'p',
      'const: other values were taken',
    ],
    ['one boolean', property({ type: 'boolean' }), property({ const: true }), 'p', 'false was taken'],
    ['a type shrinks', property({ type: ['string', 'null'] }), property({ type: 'string' }), 'p', 'type: null was taken'],
    ['numbers become integers', property({ type: 'number' }), property({ type: 'integer' }), 'p', 'type: number was taken'],
    ['a minimum rises', property({ minimum: 1 }), property({ minimum: 1.5 }), 'p', 'minimum: was 1, is 1.5'],
    [
      'a minimum comes',
      property({ type: 'integer' }),
      property({ type: 'integer', minimum: 0 }),
      'p',
      'minimum: was not there, is 0',
    ],
    ['a minimum excludes itself', property({ minimum: 1 }), property({ exclusiveMinimum: 1 }), 'p', 'exclusiveMinimum'],
    [
      'an exclusive minimum rises',
      property({ exclusiveMinimum: 1 }),
      property({ exclusiveMinimum: 2 }),
      'p',
      'exclusiveMinimum: was 1, is 2',
    ],
    ['a maximum falls', property({ maximum: 2 }), property({ maximum: 1 }), 'p', 'maximum: was 2, is 1'],
    ['a maximum excludes itself', property({ maximum: 2 }), property({ exclusiveMaximum: 2 }), 'p', 'exclusiveMaximum'],
    [
      'an exclusive maximum falls',
      property({ exclusiveMaximum: 2 }),
      property({ exclusiveMaximum: 1.5 }),
      'p',
      'exclusiveMaximum: was 2, is 1.5',
    ],
    [
      'a maximum below an exclusive one',
      property({ exclusiveMaximum: 2 }),
      property({ maximum: 1.9 }),
      'p',
      'maximum: was not there, is 1.9',
    ],
    [
      'a least length',
      property({ type: 'string' }),
      property({ type: 'string', minLength: 1 }),
      'p',
      'minLength: was not there, is 1',
    ],
    ['a greatest length', property({ maxLength: 3 }), property({ maxLength: 2 }), 'p', 'maxLength: was 3, is 2'],
    [
      'a pattern',
      property({ type: 'string' }),
      property({ type: 'string', pattern: '' }),
      'p',
      'pattern: was not there, is ',
    ],
    ['another pattern', property({ pattern: '^ab' }), property({ pattern: '^a' }), 'p', 'pattern: was ^ab, is ^a'],
    ['fewer items', property({ maxItems: 3 }), property({ maxItems: 2 }), 'p', 'maxItems: was 3, is 2'],
    ['more items', property({ minItems: 1 }), property({ minItems: 2 }), 'p', 'minItems: was 1, is 2'],
    ['items', property({ items: { type: 'number' } }), property({ items: { type: 'integer' } }), 'p.*', 'type: number'],
    ['items that come', property({ type: 'array' }), property({ type: 'array', items: { enum: [1] } }), 'p.*', 'enum'],
    ['an open object closes', object({}), object({ additionalProperties: false }), '(others)', 'it was allowed'],
    [
      'others get a type',
      object({}),
      object({ additionalProperties: { type: ['string', 'null', 'array', 'object', 'number'] } }),
      '(others)',
      'type: boolean',
    ],
    [
      'a named property goes under a closed object',
      property({}, { additionalProperties: false }),
      object({ additionalProperties: false }),
      'p',
      'it was allowed',
    ],
    ['a property is forbidden', property({ type: 'string' }), property(false), 'p', 'it was allowed'],
    [
      'more properties are needed',
      object({ minProperties: 1 }),
      object({ minProperties: 2 }),
      '',
      'minProperties: was 1, is 2',
    ],
    ['fewer properties are allowed', object({}), object({ maxProperties: 2 }), '', 'maxProperties: was not there, is 2'],
    [
      'deep within',
      property(object({ properties: { q: { items: { type: 'null' } } } })),
      property(object({ properties: { q: { items: { type: 'array' } } } })),
      'p.q.*',
      'null was taken',
    ],
    ['after a drop', true, property({ type: 'string' }), 'p', 'type: null'],
    ['everything is refused', {}, false, '', 'it was allowed'],
  ])('%s', (_, old, next, path, what) => {
    const found = narrowings(object(typeof old === 'boolean' ? {} : old), next);
    expect(found.map((one) => one.path)).toContain(path === '' ? 'properties' : `properties.${path}`);
    expect(found.find((one) => one.path.endsWith(path) && one.what.startsWith(what))).toBeDefined();
    const refused = refusal(new Map([['calls', { version: 7, properties: old }]]), new Map([['calls', next]]));
    expect(refused).toMatchObject({
      code: 'BAD_METERS',
      detail: { field: expect.stringContaining('schemas.calls.properties') },
    });
    expect(refused.message).toContain('calls would take less than version 7');
    expect(refused.detail.allowed).toContain('an event type of its own');
  });

  test('a schema that is recorded and not in the file', () => {
    const refused = refusal(new Map([['calls', { version: 2, properties: {} }]]), new Map([['other', {}]]));
    expect(refused).toMatchObject({ code: 'BAD_METERS', detail: { field: 'schemas.calls', value: 'missing' } });
    expect(refused.detail.allowed).toContain('properties: true');
  });

  test('of many faults ten are shown, and how many more there are', () => {
    const names = Array.from({ length: 13 }, (_, n) => `p${n}`);
    const refused = refusal(new Map([['calls', { version: 1, properties: {} }]]), new Map([['calls', { required: names }]]));
    expect(refused.message).toContain('properties.p9: required');
    expect(refused.message).not.toContain('properties.p10');
    expect(refused.message).toContain('… and 3 more');
  });
});

function refusal(recorded: Schemas, declared: ReadonlyMap<string, Schema>): MeterError {
  try {
    demandWider(recorded, declared);
  } catch (error) {
    if (error instanceof MeterError) return error;
    throw error;
  }
  throw new Error('it was taken');
}

describe('versions of schemas', () => {
  const one = { version: 3, properties: { properties: { a: { type: 'string' }, b: true } } } as const;

  test('what is as it was keeps its version, in whatever order it is written', () => {
    const same: Schema = { properties: { b: true, a: { type: 'string' } } };
    expect(nextSchemas(new Map([['calls', one]]), new Map([['calls', same]])).get('calls')).toBe(one);
  });

  test('a change is the next one, and a new type begins at 1', () => {
    const next = nextSchemas(
      new Map([['calls', one]]),
      new Map<string, Schema>([
        ['calls', true],
        ['disk', {}],
      ]),
    );
    expect([...next]).toEqual([
      ['calls', { version: 4, properties: true }],
      ['disk', { version: 1, properties: {} }],
    ]);
  });
});
