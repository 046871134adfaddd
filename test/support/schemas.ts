/** Schemas of every keyword, and values that meet their bounds: over an alphabet so small that both often agree. */
import fc from 'fast-check';
import type { Schema } from '../../src/domain/event-schema.ts';

const NAMES = ['a', 'b', 'toString'] as const;
const scalar = fc.constantFrom<string | number | boolean | null>('', 'x', 'xy', '😀', 0, 1, 1.5, 2, true, false, null);
const count = fc.integer({ min: 0, max: 3 });
const limit = fc.constantFrom(-1, 0, 1, 1.5, 2);
const type = fc.constantFrom('null', 'boolean', 'integer', 'number', 'string', 'array', 'object');

/** Each keyword is there now and then: with all of them hardly a value would pass. */
const optional = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: one });

/** Keywords that are undefined are not there. */
const present = (fields: object): object => JSON.parse(JSON.stringify(fields)) as object;

const { schema: any } = fc.letrec<{ schema: Schema }>((tie) => ({
  schema: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    { weight: 1, arbitrary: fc.boolean() },
    { weight: 1, arbitrary: fc.constant({}) },
    {
      weight: 5,
      arbitrary: fc
        .record({
          type: optional(fc.oneof(type, fc.uniqueArray(type, { minLength: 1, maxLength: 4 }))),
          enum: optional(fc.uniqueArray(scalar, { minLength: 1, maxLength: 4 })),
          const: optional(scalar),
          ...{ minimum: optional(limit), maximum: optional(limit) },
          ...{ exclusiveMinimum: optional(limit), exclusiveMaximum: optional(limit) },
          ...{ minLength: optional(count), maxLength: optional(count), pattern: optional(fc.constantFrom('^x', 'y$', '.')) },
          ...{ minItems: optional(count), maxItems: optional(count), items: optional(tie('schema')) },
          properties: optional(
            fc.dictionary(fc.constantFrom(...NAMES), tie('schema'), { maxKeys: 2, noNullPrototype: true }),
          ),
          required: optional(fc.uniqueArray(fc.constantFrom(...NAMES), { maxLength: 2 })),
          additionalProperties: optional(tie('schema')),
          ...{ minProperties: optional(count), maxProperties: optional(count) },
        })
        .map((fields) => present(fields) as Schema),
    },
  ),
}));
export const schemas: fc.Arbitrary<Schema> = any;

export const { value: values } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    { weight: 3, arbitrary: scalar },
    { weight: 1, arbitrary: fc.array(tie('value'), { maxLength: 3 }) },
    {
      weight: 2,
      arbitrary: fc.dictionary(fc.constantFrom(...NAMES, 'c'), tie('value'), { maxKeys: 3, noNullPrototype: true }),
    },
  ),
}));

/** A schema and one that differs from it in a few places: two that have nothing to do with each other are seldom comparable. */
export const pairs: fc.Arbitrary<readonly [Schema, Schema]> = fc
  .tuple(schemas, schemas, fc.infiniteStream(fc.integer({ min: 0, max: 9 })))
  .map(([old, other, dice]) => [old, edited(old, other, () => Number(dice.next().value))] as const);

type Fields = Readonly<Record<string, unknown>>;

/** Here and there a keyword is lost, or is as in the other schema. */
function edited(old: Schema, other: Schema, roll: () => number): Schema {
  if (typeof old === 'boolean') return roll() < 7 ? old : other;
  if (roll() === 0) return other;
  const theirs: Fields = typeof other === 'boolean' ? {} : { ...other };
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(old)) {
    const chance = roll();
    if (chance === 0) continue;
    result[name] = chance === 1 && name in theirs ? theirs[name] : editedWithin(name, value, other, roll);
  }
  for (const [name, value] of Object.entries(theirs)) if (roll() === 0) result[name] = value;
  return result;
}

function editedWithin(name: string, value: unknown, other: Schema, roll: () => number): unknown {
  if (name === 'items' || name === 'additionalProperties') return edited(value as Schema, other, roll);
  if (typeof value === 'number' && roll() < 3) return value + (name.startsWith('max') ? 1 : -1);
  if (name === 'enum' && roll() < 3) return [...(value as unknown[]), 'more'];
  if (name === 'required' && roll() < 3) return (value as unknown[]).slice(1);
  if (name !== 'properties') return value;
  return Object.fromEntries(
    Object.entries(value as object).map(([key, inner]) => [key, edited(inner as Schema, other, roll)]),
  );
}
