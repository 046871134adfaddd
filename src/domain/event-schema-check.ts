/** Whether an event keeps what its type promises. */
import { Ajv, type ErrorObject } from 'ajv';
import type { UsageEvent } from './event.ts';
import type { Schema, Schemas, TypeSchema } from './event-schema.ts';
import { fault, type Fault } from './fault.ts';
import { Pattern } from './pattern.ts';

/** What is wrong with a value: where, what stands there, which keyword, and what it asks for. */
export interface Violation {
  /** Names and indexes, from the value down. */
  readonly path: readonly string[];
  readonly value: unknown;
  readonly reason: string;
}
export type Check = (value: unknown) => Violation | undefined;

/** Patterns by our own steps: an expression of the engine may take for ever, and changes with Unicode. */
const patterns = Object.assign(
  (text: string) => {
    const pattern = new Pattern(text);
    // Compiled code tells patterns apart by their text.
    return { test: (value: string) => pattern.test(value), toString: () => text };
  },
  { code: 'pattern' },
);

/**
 * What decides is fixed here: own properties alone, no coercion, no defaults, no formats, the first violation. The schema was
 * read by `readSchemas`, which takes nothing that this does not know.
 */
const compiler = (): Ajv =>
  new Ajv({
    ...{ strict: true, strictTypes: false, strictRequired: false, allowUnionTypes: true },
    ...{ meta: false, validateSchema: false, validateFormats: false, addUsedSchema: false, logger: false },
    ...{ ownProperties: true, allErrors: false, verbose: true, code: { regExp: patterns } },
  });

const unescaped = (part: string): string => part.replaceAll('~1', '/').replaceAll('~0', '~');

/** A property that is missing or one too many is named itself, not the object. */
function nameOf({ keyword, params }: ErrorObject): readonly string[] {
  const { missingProperty, additionalProperty } = params as Readonly<Record<string, string>>;
  const name =
    keyword === 'required' ? missingProperty : keyword === 'additionalProperties' ? additionalProperty : undefined;
  return name === undefined ? [] : [name];
}

function reasonOf({ keyword, schema }: ErrorObject): string {
  if (keyword === 'required') return 'required: it is missing';
  if (keyword === 'additionalProperties') return 'additionalProperties: the schema has no such property';
  if (keyword === 'false schema') return 'false: the schema allows no such property';
  return `${keyword}: ${JSON.stringify(schema)}`;
}

function violationOf(error: ErrorObject): Violation {
  const path = [...error.instancePath.split('/').slice(1).map(unescaped), ...nameOf(error)];
  const found: unknown = error.data;
  const [name] = nameOf(error);
  const value = name === undefined ? found : (found as Readonly<Record<string, unknown>>)[name];
  return { path, value: error.keyword === 'required' ? undefined : value, reason: reasonOf(error) };
}

/** A compiler of its own for each schema: it would keep every schema that it has seen. */
export function compileSchema(schema: Schema): Check {
  const validate = compiler().compile(schema);
  return (value) => {
    if (validate(value)) return undefined;
    const [error] = validate.errors ?? [];
    return error && violationOf(error);
  };
}

/** Compiled when the first event of its type comes; kept for as long as its rule set is. */
const compiled = new WeakMap<TypeSchema, Check>();

function checkOf(schema: TypeSchema): Check {
  const known = compiled.get(schema);
  if (known !== undefined) return known;
  const made = compileSchema(schema.properties);
  compiled.set(schema, made);
  return made;
}

/** Of an event type without a schema nothing is looked at. */
export function checkSchema(schemas: Schemas, { type, properties }: UsageEvent): Fault | undefined {
  const schema = schemas.get(type);
  if (schema === undefined) return undefined;
  const violation = checkOf(schema)(JSON.parse(properties));
  if (violation === undefined) return undefined;
  const { path, value, reason } = violation;
  const of = `version ${schema.version} of the schema of ${type}`;
  return fault('SCHEMA_VIOLATION', ['properties', ...path].join('.'), value, `${reason} (${of})`);
}
