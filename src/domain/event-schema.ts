/**
 * Schemas of event types: a JSON Schema of the properties of an event, in a fixed subset of draft-07 and 2020-12 in which both
 * say the same. What a keyword means never changes, so a record has the same verdict for ever.
 */
import { canonicalJson } from './canonical.ts';
import { checkId, checkText } from './event.ts';
import { isFault } from './fault.ts';
import { keepsDigits } from './json.ts';
import { Pattern } from './pattern.ts';
import { BadPattern } from './pattern-parse.ts';

export const TYPES = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'] as const;
export type TypeName = (typeof TYPES)[number];
export type Scalar = string | number | boolean | null;

export interface SchemaFields {
  readonly title?: string;
  readonly description?: string;
  readonly type?: TypeName | readonly TypeName[];
  readonly enum?: readonly Scalar[];
  readonly const?: Scalar;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema;
  readonly minProperties?: number;
  readonly maxProperties?: number;
}
/** `true` takes everything, `false` nothing. */
export type Schema = boolean | SchemaFields;

/** What an event type promises, and which of its schemas this is: from 1. */
export interface TypeSchema {
  readonly version: number;
  /** Of the properties of an event. */
  readonly properties: Schema;
}
/** By event type. A type without an entry takes everything. */
export type Schemas = ReadonlyMap<string, TypeSchema>;
export const NO_SCHEMAS: Schemas = new Map();

/** Told of each fault: where, what stands there, what is allowed. */
export type Tell = (field: string, value: unknown, allowed: string) => void;

/** Schemas within a schema: each becomes code. */
const MAX_NODES = 1000;
const MAX_DEPTH = 16;
/** Of the canonical text of one schema: every rule set keeps it. */
const MAX_BYTES = 64 * 1024;

type Raw = Readonly<Record<string, unknown>>;
const isMap = (value: unknown): value is Raw => typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string' && checkText('', value) === undefined;
const isCount = (value: unknown): boolean => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
const isNumber = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value) && keepsDigits(value);
const isScalar = (value: unknown): boolean =>
  value === null || typeof value === 'boolean' || isText(value) || isNumber(value);
const isType = (value: unknown): boolean => TYPES.some((name) => name === value);
const isList = (value: unknown, of: (one: unknown) => boolean): value is readonly unknown[] =>
  Array.isArray(value) && value.every(of) && new Set(value).size === value.length;
/** `__proto__` is no name that JavaScript keeps like any other. */
const isName = (value: unknown): value is string => isText(value) && value !== '__proto__';

type Rule = readonly [isAllowed: (value: unknown) => boolean, allowed: string];
const COUNT: Rule = [isCount, 'a whole number from 0 on'];
const NUMBER: Rule = [isNumber, 'a number of at most 15 digits'];
const WORDS: Rule = [isText, 'a text'];

/** Keywords that hold no schema. */
const PLAIN: Readonly<Record<string, Rule>> = {
  ...{ title: WORDS, description: WORDS },
  type: [
    (value) => isType(value) || (isList(value, isType) && value.length > 0),
    `one of ${TYPES.join(', ')}, or a list of them`,
  ],
  enum: [
    (value) => isList(value, isScalar) && value.length > 0,
    'a list of different texts, numbers of at most 15 digits, true, false, null',
  ],
  const: [isScalar, 'a text, a number of at most 15 digits, true, false or null'],
  ...{ minimum: NUMBER, maximum: NUMBER, exclusiveMinimum: NUMBER, exclusiveMaximum: NUMBER },
  ...{ minLength: COUNT, maxLength: COUNT, minItems: COUNT, maxItems: COUNT, minProperties: COUNT, maxProperties: COUNT },
  required: [(value) => isList(value, isName), 'a list of different names of properties'],
};
const KEYWORDS: readonly string[] = [...Object.keys(PLAIN), 'pattern', 'items', 'properties', 'additionalProperties'];
const WITHOUT = 'there is no format, no $ref, no combination such as anyOf, nothing of one’s own';

class Reader {
  readonly #tell: Tell;
  #nodes = 0;

  constructor(tell: Tell) {
    this.#tell = tell;
  }

  check(schema: unknown, path: string, depth = 0): void {
    this.#nodes += 1;
    if (this.#nodes === MAX_NODES + 1) this.#tell(path, 'one more', `${MAX_NODES} schemas within a schema at most`);
    if (this.#nodes > MAX_NODES || typeof schema === 'boolean') return;
    if (depth > MAX_DEPTH) this.#tell(path, 'one more', `${MAX_DEPTH} levels of schemas within schemas at most`);
    else if (!isMap(schema)) this.#tell(path, schema, 'a JSON Schema: a map of keywords, true or false');
    else for (const [name, value] of Object.entries(schema)) this.#keyword(name, value, path, depth);
  }

  #keyword(name: string, value: unknown, path: string, depth: number): void {
    const at = `${path}.${name}`;
    const rule = Object.hasOwn(PLAIN, name) ? PLAIN[name] : undefined;
    if (rule !== undefined) {
      const [isAllowed, allowed] = rule;
      if (!isAllowed(value)) this.#tell(at, value, allowed);
    } else if (name === 'pattern') this.#pattern(at, value);
    else if (name === 'items' || name === 'additionalProperties') this.check(value, at, depth + 1);
    else if (name === 'properties') this.#properties(at, value, depth);
    else this.#tell(at, value, `the keywords ${KEYWORDS.join(', ')}; ${WITHOUT}`);
  }

  #pattern(at: string, value: unknown): void {
    if (!isText(value)) {
      this.#tell(at, value, 'a regular expression');
      return;
    }
    try {
      new Pattern(value);
    } catch (error) {
      if (!(error instanceof BadPattern)) throw error;
      this.#tell(at, value, `a regular expression of docs/schemas.md (${error.message})`);
    }
  }

  #properties(at: string, value: unknown, depth: number): void {
    if (!isMap(value)) this.#tell(at, value, 'a map of properties, each with a schema');
    for (const [name, inner] of isMap(value) ? Object.entries(value) : []) {
      if (!isName(name)) this.#tell(at, name, 'names without NUL, and not __proto__');
      this.check(inner, `${at}.${name}`, depth + 1);
    }
  }
}

const DIALECT = /^https?:\/\/json-schema\.org\/(draft-07\/schema|draft\/2020-12\/schema)#?$/;

/** The properties of an event are an object; they have no other type. */
const isOfObjects = ({ type }: Raw): boolean =>
  type === undefined || type === 'object' || (isList(type, isType) && type.length === 1 && type[0] === 'object');

function readRoot(raw: unknown, path: string, tell: Tell): Schema {
  const { $schema: dialect, ...rest } = isMap(raw) ? raw : {};
  const schema = isMap(raw) ? rest : raw;
  if (dialect !== undefined && !(isText(dialect) && DIALECT.test(dialect)))
    tell(`${path}.$schema`, dialect, 'that of draft-07 or 2020-12');
  if (isMap(schema) && !isOfObjects(schema)) tell(`${path}.type`, schema.type, 'object: the properties of an event are one');
  new Reader(tell).check(schema, path);
  return schema as Schema;
}

/** `schemas` of a meters file. What is returned is of use where nothing was told. */
export function readSchemas(raw: Raw, tellOf: (eventType: string) => Tell): ReadonlyMap<string, Schema> {
  return new Map(
    Object.entries(raw).map(([eventType, entry]): [string, Schema] => {
      const tell = tellOf(eventType);
      const path = `schemas.${eventType}`;
      if (isFault(checkId('event_type', eventType))) tell(path, eventType, 'an event type of 1 to 256 bytes');
      if (!isMap(entry) || !('properties' in entry)) {
        tell(path, entry, 'properties: the JSON Schema of the properties of an event');
        return [eventType, true];
      }
      for (const name of Object.keys(entry)) if (name !== 'properties') tell(`${path}.${name}`, entry[name], 'properties');
      const faultless = readRoot(entry.properties, `${path}.properties`, tell);
      if (Buffer.byteLength(canonicalJson(faultless)) > MAX_BYTES)
        tell(`${path}.properties`, 'a longer text', `${MAX_BYTES} bytes of JSON at most`);
      return [eventType, faultless];
    }),
  );
}
