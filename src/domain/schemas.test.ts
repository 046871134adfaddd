import { readdirSync, readFileSync } from 'node:fs';
import avsc from 'avsc';
import { describe, expect, test } from 'vitest';
import * as committed from './schemas.ts';

const FOLDER = new URL('../../schemas/', import.meta.url);
const FILES = readdirSync(FOLDER).filter((name) => name.endsWith('.avsc'));
const read = (file: string): object => JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')) as object;

/** `usage_event.v1.avsc` is `usageEventV1` in the code. */
const nameOf = (file: string): string => file.replace('.avsc', '').replace(/[._](\w)/g, (_, c: string) => c.toUpperCase());

type Schemas = Readonly<Record<string, object>>;

/** Types by file, where one may name another, in whatever order they stand. */
function typesOf(schemas: Schemas): ReadonlyMap<string, avsc.Type> {
  const types = new Map<string, avsc.Type>();
  const registry: Record<string, avsc.Type> = {};
  // Names come before their use in at most as many rounds as there are files.
  for (let round = 0; round < Object.keys(schemas).length; round += 1)
    for (const [file, schema] of Object.entries(schemas)) if (!types.has(file)) define(file, schema);
  return types;

  function define(file: string, schema: object): void {
    const known = { ...registry };
    try {
      types.set(file, avsc.Type.forSchema(schema as avsc.Schema, { registry: known, wrapUnions: 'never' }));
      Object.assign(registry, known);
    } catch (error) {
      if (!String(error).includes('undefined type name')) throw error;
    }
  }
}

/** `x.v2.avsc` reads what `x.v1.avsc` wrote: throws where it cannot. */
function demandCompatible(schemas: Schemas): readonly string[] {
  const types = typesOf(schemas);
  return [...types].flatMap(([file, type]) => {
    const [, name = '', version = ''] = /^(.*)\.v(\d+)\.avsc$/.exec(file) ?? [];
    const before = types.get(`${name}.v${String(Number(version) - 1)}.avsc`);
    if (before === undefined) return version === '1' ? [] : [`${file} has no predecessor`];
    type.createResolver(before, { ignoreNamespaces: true });
    return [];
  });
}

const SCHEMAS: Schemas = Object.fromEntries(FILES.map((file) => [file, read(file)]));

describe('the published schemas', () => {
  test('are those of the code', () => {
    expect(FILES.length).toBeGreaterThan(0);
    expect({ ...committed }).toEqual(Object.fromEntries(FILES.map((file) => [nameOf(file), read(file)])));
  });

  test('are all of Avro', () => {
    expect([...typesOf(SCHEMAS).keys()].sort()).toEqual([...FILES].sort());
  });

  test('each version can read its predecessor', () => {
    expect(demandCompatible(SCHEMAS)).toEqual([]);
  });

  test('each type lives in the namespace of its version', () => {
    for (const file of FILES)
      expect(read(file)).toMatchObject({ namespace: `dev.meterfold.v${/\.v(\d+)\./.exec(file)?.[1] ?? '?'}` });
  });
});

describe('the check of compatibility', () => {
  const [file, v1] = ['usage_event.v1.avsc', read('usage_event.v1.avsc') as { readonly fields: readonly object[] }];
  const next = (fields: readonly object[]): Schemas => ({
    [file]: v1,
    'usage_event.v2.avsc': { ...v1, namespace: 'dev.meterfold.v2', fields },
  });

  test('lets a version add a field with a default, and drop one', () => {
    const added = { name: 'source', type: ['null', 'string'], default: null };
    expect(demandCompatible(next([...v1.fields.slice(1), added]))).toEqual([]);
  });

  test.each([
    ['adds a field without a default', [...v1.fields, { name: 'source', type: 'string' }]],
    [
      'renames a field',
      v1.fields.map((field) => ('name' in field && field.name === 'tenant_id' ? { ...field, name: 't' } : field)),
    ],
    [
      'changes a type',
      v1.fields.map((field) => ('name' in field && field.name === 'subject' ? { ...field, type: 'null' } : field)),
    ],
  ])('refuses a version that %s', (_, fields) => {
    expect(() => demandCompatible(next(fields))).toThrow();
  });

  test('misses a version that was left out', () => {
    expect(demandCompatible({ [file]: v1, 'usage_event.v3.avsc': { ...v1, namespace: 'dev.meterfold.v3' } })).toEqual([
      'usage_event.v3.avsc has no predecessor',
    ]);
  });
});
