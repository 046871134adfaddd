import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { schemas } from '../../test/support/schemas.ts';
import { MeterError } from '../errors.ts';
import { parseMetersFile } from './meters-file.ts';

const fileOf = (schema: unknown, type = 'calls') => JSON.stringify({ schemas: { [type]: { properties: schema } } });
const faultOf = (text: string): string => {
  try {
    parseMetersFile(text);
  } catch (error) {
    if (error instanceof MeterError && error.code === 'BAD_METERS') return error.message;
    throw error;
  }
  throw new Error('it was taken');
};

test('a file says the schema of each event type', () => {
  const { schemas: found, meters } = parseMetersFile(`
schemas:
  calls:
    properties:
      $schema: https://json-schema.org/draft/2020-12/schema
      type: object
      required: [region]
      properties:
        region: { enum: [eu, us] }
        timing: { type: object, properties: { ms: { type: number, minimum: 0 } } }
  disk: { properties: true }
`);
  const region = { enum: ['eu', 'us'] };
  const timing = { type: 'object', properties: { ms: { type: 'number', minimum: 0 } } };
  expect(found).toEqual(
    new Map<string, unknown>([
      ['calls', { type: 'object', required: ['region'], properties: { region, timing } }],
      ['disk', true],
    ]),
  );
  expect(meters).toBeUndefined();
});

test('without `schemas` nothing is said of them', () => {
  expect(parseMetersFile('meters: []').schemas).toBeUndefined();
  expect(parseMetersFile('schemas: {}').schemas).toEqual(new Map());
});

test('everything that the compiler is given was read', () => {
  fc.assert(
    fc.property(schemas, (schema) => {
      if (typeof schema !== 'boolean' && schema.type !== undefined && schema.type !== 'object') return;
      expect(parseMetersFile(fileOf(schema)).schemas?.get('calls')).toEqual(schema);
    }),
  );
});

describe('what is not taken is named with path, value and what is allowed', () => {
  test.each<[unknown, string]>([
    [{ format: 'date' }, 'properties.format is "date"; allowed: the keywords title'],
    [{ properties: { a: { $ref: '#' } } }, 'properties.properties.a.$ref is "#"; allowed: the keywords'],
    [{ anyOf: [] }, 'properties.anyOf is []; allowed: the keywords'],
    [{ multipleOf: 0.1 }, 'properties.multipleOf is 0.1'],
    [{ uniqueItems: true }, 'properties.uniqueItems is true'],
    [{ default: 1 }, 'properties.default is 1'],
    [{ constructor: 1 }, 'properties.constructor is 1'],
    [{ $schema: 'http://json-schema.org/draft-04/schema#' }, 'properties.$schema is'],
    [{ properties: { a: { $schema: 'http://json-schema.org/draft-07/schema#' } } }, 'properties.a.$schema is'],
    [{ type: 'string' }, 'properties.type is "string"; allowed: object'],
    [{ type: ['object', 'null'] }, 'properties.type is ["object","null"]; allowed: object'],
    [{ type: 'date' }, 'properties.type is "date"; allowed: one of null, boolean'],
    [{ properties: { a: { type: [] } } }, 'a.type is []; allowed: one of'],
    [{ properties: { a: { type: ['null', 'null'] } } }, 'a.type is ["null","null"]'],
    [{ properties: { a: { enum: [] } } }, 'a.enum is []; allowed: a list of different'],
    [{ properties: { a: { enum: [1, 1] } } }, 'a.enum is [1,1]'],
    [{ properties: { a: { enum: [{}] } } }, 'a.enum is [{}]'],
    [{ properties: { a: { enum: ['a\0'] } } }, 'a.enum is ["a\\u0000"]'],
    [{ properties: { a: { const: [1] } } }, 'a.const is [1]'],
    [
      { properties: { a: { const: 0.1234567890123456 } } },
      'a.const is 0.1234567890123456; allowed: a text, a number of at most 15',
    ],
    [{ properties: { a: { minimum: '1' } } }, 'a.minimum is "1"; allowed: a number of at most 15 digits'],
    [{ properties: { a: { maximum: 1234567890123456 } } }, 'a.maximum is 1234567890123456'],
    [{ properties: { a: { minLength: -1 } } }, 'a.minLength is -1; allowed: a whole number from 0 on'],
    [{ properties: { a: { maxItems: 1.5 } } }, 'a.maxItems is 1.5'],
    [
      { properties: { a: { pattern: '(?=a)' } } },
      'a.pattern is "(?=a)"; allowed: a regular expression of docs/schemas.md (look-around',
    ],
    [{ properties: { a: { pattern: 5 } } }, 'a.pattern is 5; allowed: a regular expression'],
    [{ properties: { a: { items: [{}] } } }, 'a.items is [{}]; allowed: a JSON Schema'],
    [{ properties: { a: 'string' } }, 'properties.a is "string"; allowed: a JSON Schema'],
    [{ properties: [] }, 'properties.properties is []; allowed: a map of properties'],
    [{ required: ['a', 'a'] }, 'properties.required is ["a","a"]'],
    [{ required: 'a' }, 'properties.required is "a"'],
    [{ additionalProperties: null }, 'properties.additionalProperties is null; allowed: a JSON Schema'],
    [{ title: 5 }, 'properties.title is 5; allowed: a text'],
    [null, 'properties is null; allowed: a JSON Schema'],
    [{ enum: Array.from({ length: 9000 }, (_, n) => `value ${n}`) }, '65536 bytes of JSON at most'],
    [
      { properties: Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`p${n}`, {}])) },
      '1000 schemas within a schema',
    ],
    [JSON.parse(`${'{"items":'.repeat(17)}{}${'}'.repeat(17)}`), '16 levels of schemas'],
  ])('%j', (schema, told) => {
    expect(faultOf(fileOf(schema))).toContain(told);
  });

  test.each([
    ['schemas: []', 'schemas: must be a map of event types'],
    ['schemas: { calls: { } }', 'line 1: schemas.calls is {}; allowed: properties'],
    ['schemas: { calls: { properties: {}, quantity: {} } }', 'schemas.calls.quantity is {}; allowed: properties'],
    ['schemas: { "": { properties: {} } }', 'allowed: an event type of 1 to 256 bytes'],
    [
      'schemas:\n  calls: { properties: { properties: { __proto__: {} } } }',
      'line 2: schemas.calls.properties.properties is "__proto__"',
    ],
    ['schema: {}', 'schema: allowed here: meters, spread, schemas'],
    ['schemas: { a: { properties: { minItems: .inf } } }', 'minItems is null'],
  ])('%s', (text, told) => {
    expect(faultOf(text)).toContain(told);
  });

  test('all of them at once', () => {
    const told = faultOf('schemas:\n  a: { properties: { format: x } }\n  b:\n    properties: { minItems: no }\n');
    expect(told).toContain('line 2: schemas.a.properties.format');
    expect(told).toContain('line 4: schemas.b.properties.minItems is "no"');
  });
});
