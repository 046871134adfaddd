import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalJson, contentDigest, keyDigest } from './canonical.ts';
import type { UsageEvent } from './event.ts';
import { parseJsonText } from './json.ts';

const canonical = (text: string): string => canonicalJson(parseJsonText(text));

/** The same value with the fields of every object the other way round. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, inner]) => [key, reversed(inner)]),
  );
}

/** Any character that UTF-8 can hold (`unit: 'binary'` would take a second to begin). */
const character = fc
  .oneof(fc.integer({ min: 0, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0x10ffff }))
  .map((code) => String.fromCodePoint(code));
/** Few characters, so that parts and their lengths collide where they can. */
const part = fc.string({ unit: fc.constantFrom('0', '1', '2', ':', 'a', 's', 'n'), maxLength: 4 });
const content = fc.record({
  type: part,
  quantity: fc.bigInt({ min: 0n, max: 12n }),
  timestamp: fc.nat(12),
  subject: fc.option(part),
  properties: part,
});
type Content = Omit<UsageEvent, 'tenant' | 'key'>;
const digestOf = (given: Content): string => contentDigest({ ...given, tenant: 'acme', key: 'k' });
const isSame = (a: Content, b: Content): boolean =>
  a.type === b.type &&
  a.quantity === b.quantity &&
  a.timestamp === b.timestamp &&
  a.subject === b.subject &&
  a.properties === b.properties;

describe('canonicalJson', () => {
  test.each([
    ['1', '1.0'],
    ['1', '10e-1'],
    ['0', '-0'],
    ['100000000000000000000', '1e20'],
    ['"é"', '"\\u00e9"'],
    ['{"a":1,"b":[{"c":2,"d":3}]}', '{ "b": [ {"d":3.00, "c":2} ], "a": 1 }'],
  ])('%s and %s are one', (a, b) => {
    expect(canonical(a)).toBe(canonical(b));
  });

  test('names are sorted by code unit, without white space', () => {
    expect(canonical('{ "b": 1, "a": [true, null, "x y"], "B": {}, "é": [] , "": -1.50 }')).toBe(
      '{"":-1.5,"B":{},"a":[true,null,"x y"],"b":1,"é":[]}',
    );
  });

  test('the order of properties makes no difference, at any depth', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => canonicalJson(reversed(value)) === canonicalJson(value)));
  });

  test('nothing is lost: the text reads as the value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test('what is canonical stays as it is', () => {
    fc.assert(fc.property(fc.jsonValue().map(canonicalJson), (text) => canonicalJson(JSON.parse(text)) === text));
  });

  test('the order of a list makes a difference', () => {
    expect(canonical('[1,2]')).not.toBe(canonical('[2,1]'));
  });
});

describe('contentDigest', () => {
  const event: UsageEvent = {
    tenant: 'acme',
    type: 'tokens',
    quantity: 5n,
    key: 'k-1',
    timestamp: 1_700_000_000_000_000,
    subject: null,
    properties: '{}',
  };

  test('is 16 bytes of a sha-256 as hex, over text that is the same in every version: digests are kept', () => {
    const sha256 = createHash('sha256').update('6:tokens1:516:17000000000000001:n2:{}').digest('hex');
    expect(contentDigest(event)).toBe(sha256.slice(0, 32));
  });

  test('tenant and key are no part of the content', () => {
    expect(contentDigest({ ...event, tenant: 'other', key: 'other' })).toBe(contentDigest(event));
  });

  test.each<Partial<UsageEvent>>([
    { type: 'token' },
    { quantity: 50n },
    { timestamp: event.timestamp + 1 },
    { subject: '' },
    { subject: 'n' },
    { subject: 'null' },
    { properties: '{"a":1}' },
  ])('another content has another digest: %o', (change) => {
    expect(contentDigest({ ...event, ...change })).not.toBe(contentDigest(event));
  });

  test('two digests are the same exactly where the contents are', () => {
    fc.assert(
      fc.property(content, content, (a, b) => (digestOf(a) === digestOf(b)) === isSame(a, b)),
      { numRuns: 2000 },
    );
  });

  test('what moves from one field to the next is other content', () => {
    fc.assert(
      fc.property(content, fc.nat(3), (given, at) => {
        const whole = given.type + given.properties;
        const moved = { ...given, type: whole.slice(0, at), properties: whole.slice(at) };
        expect(digestOf(moved) === digestOf(given)).toBe(isSame(moved, given));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('keyDigest', () => {
  test('is 16 bytes in a latin1 string', () => {
    const some = fc.string({ unit: character });
    const isLatin1 = (digest: string): boolean => Buffer.from(digest, 'latin1').toString('latin1') === digest;
    fc.assert(
      fc.property(some, some, (tenant, key) => {
        const digest = keyDigest(tenant, key);
        return digest.length === 16 && isLatin1(digest);
      }),
    );
  });

  test('a tenant and a key are never another tenant and key that read alike', () => {
    expect(keyDigest('a', 'bc')).not.toBe(keyDigest('ab', 'c'));
    expect(keyDigest('', '1:a')).not.toBe(keyDigest('1:a', ''));
    fc.assert(
      fc.property(part, part, fc.nat(8), (tenant, key, at) => {
        const whole = tenant + key;
        const [a, b] = [whole.slice(0, at), whole.slice(at)];
        expect(keyDigest(a, b) === keyDigest(tenant, key)).toBe(a === tenant && b === key);
      }),
      { numRuns: 1000 },
    );
  });
});
