/**
 * Which changes of a schema are taken: those after which every event that was taken is taken still, as far as the structure of
 * the two shows it. Writers that know the old schema go on; what cannot be shown is refused.
 */
import { MeterError } from '../errors.ts';
import { canonicalJson } from './canonical.ts';
import {
  type Scalar,
  type Schema,
  type SchemaFields,
  type Schemas,
  type TypeName,
  TYPES,
  type TypeSchema,
} from './event-schema.ts';
import { compileSchema } from './event-schema-check.ts';

/** Where less is taken than before. */
export interface Narrowing {
  readonly path: string;
  readonly what: string;
}

/** With `integer` where numbers are. */
function typesOf({ type }: SchemaFields): ReadonlySet<TypeName> {
  const named = type === undefined ? TYPES : typeof type === 'string' ? [type] : type;
  return new Set(named.includes('number') ? [...named, 'integer'] : named);
}

/** All values that a schema may take, where they can be counted. */
function valuesOf(schema: SchemaFields): readonly Scalar[] | undefined {
  if (schema.enum !== undefined) return schema.enum;
  if (schema.const !== undefined) return [schema.const];
  const types = [...typesOf(schema)];
  return types.every((type) => type === 'null' || type === 'boolean') ? [null, true, false] : undefined;
}

/** Every narrowing from one schema to the next; none: whatever the old one takes, the new one takes. */
export function narrowings(old: Schema, next: Schema, path = 'properties'): readonly Narrowing[] {
  if (old === false || next === true || canonicalJson(old) === canonicalJson(next)) return [];
  if (next === false) return [{ path, what: 'it was allowed, and is not any more' }];
  const was = old === true ? {} : old;
  const values = valuesOf(was);
  if (values !== undefined) return lostValues(values, was, next).map((what) => ({ path, what }));
  const here = [...lostTypes(was, next), ...newEnum(next), ...newBounds(was, next)].map((what) => ({ path, what }));
  return [...here, ...inItems(was, next, path), ...inObjects(was, next, path)];
}

function lostValues(values: readonly Scalar[], was: SchemaFields, next: SchemaFields): string[] {
  const [before, after] = [compileSchema(was), compileSchema(next)];
  const lost = values.filter((value) => before(value) === undefined && after(value) !== undefined);
  return lost.map((value) => `${JSON.stringify(value)} was taken, and is not any more`);
}

function lostTypes(was: SchemaFields, next: SchemaFields): string[] {
  const now = typesOf(next);
  return [...typesOf(was)].filter((type) => !now.has(type)).map((type) => `type: ${type} was taken, and is not any more`);
}

const newEnum = (next: SchemaFields): string[] =>
  (['enum', 'const'] as const).filter((name) => next[name] !== undefined).map((name) => `${name}: other values were taken`);

const has = (schema: SchemaFields, ...types: readonly TypeName[]): boolean =>
  types.some((type) => typesOf(schema).has(type));

/** Bounds that say the same of the same type, by the keyword. */
const LEAST = { minLength: 'string', minItems: 'array', minProperties: 'object' } as const;
const MOST = { maxLength: 'string', maxItems: 'array', maxProperties: 'object' } as const;
const keysOf = <K extends string>(of: Readonly<Record<K, unknown>>): readonly K[] => Object.keys(of) as K[];

/** A bound counts only where the old schema took values of its type. */
function newBounds(was: SchemaFields, next: SchemaFields): string[] {
  const narrower = [
    ...keysOf(LEAST).filter((name) => has(was, LEAST[name]) && (was[name] ?? 0) < (next[name] ?? 0)),
    ...keysOf(MOST).filter((name) => has(was, MOST[name]) && (was[name] ?? Infinity) > (next[name] ?? Infinity)),
    ...(has(was, 'number', 'integer') ? newLimits(was, next) : []),
    ...(has(was, 'string') && next.pattern !== undefined && next.pattern !== was.pattern ? (['pattern'] as const) : []),
  ];
  return narrower.map((name) => `${name}: was ${was[name] ?? 'not there'}, is ${String(next[name])}`);
}

type Limit = 'minimum' | 'exclusiveMinimum' | 'maximum' | 'exclusiveMaximum';

/** Least and greatest numbers, with and without themselves. */
function newLimits(was: SchemaFields, next: SchemaFields): Limit[] {
  const { minimum: min = -Infinity, exclusiveMinimum: above = -Infinity } = was;
  const { maximum: max = Infinity, exclusiveMaximum: below = Infinity } = was;
  const narrower: Readonly<Record<Limit, boolean>> = {
    minimum: next.minimum !== undefined && Math.max(min, above) < next.minimum,
    exclusiveMinimum: next.exclusiveMinimum !== undefined && min <= next.exclusiveMinimum && above < next.exclusiveMinimum,
    maximum: next.maximum !== undefined && Math.min(max, below) > next.maximum,
    exclusiveMaximum: next.exclusiveMaximum !== undefined && max >= next.exclusiveMaximum && below > next.exclusiveMaximum,
  };
  return keysOf(narrower).filter((name) => narrower[name]);
}

const inItems = (was: SchemaFields, next: SchemaFields, path: string): readonly Narrowing[] =>
  has(was, 'array') && was.maxItems !== 0 ? narrowings(was.items ?? true, next.items ?? true, `${path}.*`) : [];

/** A property that a schema does not name is what `additionalProperties` says: under an open one it may be anything. */
function schemaAt({ properties = {}, additionalProperties = true }: SchemaFields, name: string): Schema {
  return Object.hasOwn(properties, name) ? (properties[name] ?? true) : additionalProperties;
}

function inObjects(was: SchemaFields, next: SchemaFields, path: string): readonly Narrowing[] {
  if (!has(was, 'object')) return [];
  const names = new Set([...Object.keys(was.properties ?? {}), ...Object.keys(next.properties ?? {})]);
  const demanded = (next.required ?? []).filter((name) => was.required?.includes(name) !== true);
  return [
    ...demanded.map((name) => ({ path: `${path}.${name}`, what: 'required: it could be left out' })),
    ...[...names].flatMap((name) => narrowings(schemaAt(was, name), schemaAt(next, name), `${path}.${name}`)),
    ...narrowings(was.additionalProperties ?? true, next.additionalProperties ?? true, `${path}.(others)`),
  ];
}

/** The properties of an event are an object, whatever the schema says. */
const rootOf = (schema: Schema): Schema =>
  schema === false ? false : { ...(schema === true ? {} : schema), type: 'object' };

/** More would not be read. */
const SHOWN = 10;

/**
 * Throws BAD_METERS where a schema that is recorded would take less, or is not there any more. The first schema of a type is
 * taken as it is: nothing was promised before.
 */
export function demandWider(recorded: Schemas, declared: ReadonlyMap<string, Schema>): void {
  for (const [type, { version, properties }] of recorded) {
    const next = declared.get(type);
    if (next === undefined) throw leftOut(type, version);
    const found = narrowings(rootOf(properties), rootOf(next));
    if (found.length > 0) throw narrower(type, version, found);
  }
}

const leftOut = (type: string, version: number): MeterError =>
  new MeterError('BAD_METERS', `read the schemas: ${type} has a schema, version ${version}, and the file has none for it`, {
    field: `schemas.${type}`,
    value: 'missing',
    allowed:
      'the schema, or `properties: true`, which takes every event from then on; a file without `schemas` leaves all as they are',
  });

function narrower(type: string, version: number, found: readonly Narrowing[]): MeterError {
  const shown = found.slice(0, SHOWN).map(({ path, what }) => `${path}: ${what}`);
  const more = found.length > SHOWN ? [`… and ${found.length - SHOWN} more`] : [];
  const what = `read the schemas: ${type} would take less than version ${version} of its schema: ${[...shown, ...more].join('; ')}`;
  return new MeterError('BAD_METERS', what, {
    field: `schemas.${type}.${found[0]?.path ?? ''}`,
    value: found[0]?.what ?? '',
    allowed: `a schema that takes every event that version ${version} takes, for writers that know it go on; what is to be narrower needs an event type of its own, such as ${type}_v2`,
  });
}

/** The next version of each schema that changed. */
export function nextSchemas(recorded: Schemas, declared: ReadonlyMap<string, Schema>): Schemas {
  return new Map(
    [...declared].map(([type, properties]): [string, TypeSchema] => {
      const before = recorded.get(type);
      const isSame = before !== undefined && canonicalJson(before.properties) === canonicalJson(properties);
      return [type, isSame ? before : { version: (before?.version ?? 0) + 1, properties }];
    }),
  );
}
