import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { schemas, values } from '../../test/support/schemas.ts';
import type { UsageEvent } from './event.ts';
import type { Schema, Schemas } from './event-schema.ts';
import { checkSchema, compileSchema } from './event-schema-check.ts';

test('a verdict is that of draft-07 and of 2020-12', () => {
  const options = { strict: false, validateSchema: false, ownProperties: true } as const;
  const seen = { taken: 0, refused: 0 };
  fc.assert(
    fc.property(schemas, fc.array(values, { minLength: 5, maxLength: 15 }), (schema, given) => {
      const [ours, draft07, draft2020] = [
        compileSchema(schema),
        new Ajv(options).compile(schema),
        new Ajv2020(options).compile(schema),
      ];
      for (const value of given) {
        const isTaken = ours(value) === undefined;
        seen[isTaken ? 'taken' : 'refused'] += 1;
        expect([isTaken, isTaken]).toEqual([draft07(value), draft2020(value)]);
      }
    }),
    { numRuns: 400 },
  );
  expect(Math.min(seen.taken, seen.refused)).toBeGreaterThan(500);
});

const eventOf = (properties: string, type = 'calls'): UsageEvent => ({
  ...{ tenant: 'acme', type, quantity: 1n, key: 'k', timestamp: 0, subject: null, properties },
});
const schemasOf = (properties: Schema): Schemas => new Map([['calls', { version: 3, properties }]]);
const check = (properties: Schema, text: string) => checkSchema(schemasOf(properties), eventOf(text));
const p = (schema: Schema): Schema => ({ properties: { p: schema } });

describe('a violation names field, value, keyword and schema', () => {
  test.each<[Schema, string, string, string, string]>([
    [p({ type: ['string', 'null'] }), '{"p":5}', 'properties.p', '5', 'type: ["string","null"]'],
    [p({ enum: ['eu', 1] }), '{"p":"us"}', 'properties.p', 'us', 'enum: ["eu",1]'],
    [p({ const: null }), '{"p":0}', 'properties.p', '0', 'const: null'],
    [p({ minimum: 0.5 }), '{"p":0.25}', 'properties.p', '0.25', 'minimum: 0.5'],
    [p({ exclusiveMaximum: 1 }), '{"p":1}', 'properties.p', '1', 'exclusiveMaximum: 1'],
    [p({ maxLength: 1 }), '{"p":"ab"}', 'properties.p', 'ab', 'maxLength: 1'],
    [p({ pattern: '^(eu|us)$' }), '{"p":"eu1"}', 'properties.p', 'eu1', 'pattern: "^(eu|us)$"'],
    [p({ minItems: 1 }), '{"p":[]}', 'properties.p', '[]', 'minItems: 1'],
    [p({ items: { type: 'integer' } }), '{"p":[1,1.5]}', 'properties.p.1', '1.5', 'type: "integer"'],
    [p(p({ type: 'string' })), '{"p":{"p":true}}', 'properties.p.p', 'true', 'type: "string"'],
    [p({ required: ['q'] }), '{"p":{}}', 'properties.p.q', '', 'required: it is missing'],
    [{ required: ['q'] }, '{}', 'properties.q', '', 'required: it is missing'],
    [
      { additionalProperties: false },
      '{"x":{"y":1}}',
      'properties.x',
      '{"y":1}',
      'additionalProperties: the schema has no such',
    ],
    [{ additionalProperties: { type: 'string' } }, '{"a/b~":1}', 'properties.a/b~', '1', 'type: "string"'],
    [p(false), '{"p":1}', 'properties.p', '1', 'false: the schema allows no such property'],
    [{ minProperties: 1 }, '{}', 'properties', '{}', 'minProperties: 1'],
    [false, '{}', 'properties', '{}', 'false: the schema allows no such property'],
  ])('%j of %s', (schema, text, field, value, reason) => {
    const found = check(schema, text);
    expect(found).toMatchObject({ code: 'SCHEMA_VIOLATION', field, value });
    expect(found?.reason.startsWith(reason)).toBe(true);
    expect(found?.reason).toContain('(version 3 of the schema of calls)');
  });
});

describe('what decides', () => {
  test('an event type without a schema is not looked at, not even its properties', () => {
    expect(checkSchema(schemasOf(false), eventOf('not JSON', 'tokens'))).toBeUndefined();
  });

  test('names that every object has are properties of an event only where it has them', () => {
    const schema: Schema = JSON.parse(
      '{"properties":{"constructor":{"type":"string"}},"additionalProperties":false}',
    ) as Schema;
    expect(check(schema, '{}')).toBeUndefined();
    expect(check(schema, '{"constructor":"x"}')).toBeUndefined();
    expect(check(schema, '{"constructor":1}')).toMatchObject({ field: 'properties.constructor' });
    expect(check(schema, '{"__proto__":1}')).toMatchObject({ field: 'properties.__proto__', value: '1' });
    expect(check({ required: ['toString'] }, '{}')).toMatchObject({ field: 'properties.toString' });
  });

  test('a length counts characters, not units of UTF-16', () => {
    expect(check(p({ minLength: 2, maxLength: 2 }), '{"p":"😀😀"}')).toBeUndefined();
  });

  test('two patterns of one schema are two', () => {
    const schema: Schema = { properties: { a: { pattern: '^a$' }, b: { pattern: '^b$' } } };
    expect(check(schema, '{"a":"a","b":"b"}')).toBeUndefined();
    expect(check(schema, '{"a":"a","b":"a"}')).toMatchObject({ field: 'properties.b' });
  });

  test('an expression that would take an engine years takes a moment', () => {
    const from = performance.now();
    expect(check(p({ pattern: '^(a+)+$' }), `{"p":"${'a'.repeat(30_000)}!"}`)).toMatchObject({ field: 'properties.p' });
    expect(performance.now() - from).toBeLessThan(5000);
  });

  test('nothing is filled in or made to fit', () => {
    const properties = '{"p":"5"}';
    expect(check(p({ type: 'integer' }), properties)).toMatchObject({ value: '5' });
    expect(properties).toBe('{"p":"5"}');
  });
});
