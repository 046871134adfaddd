import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseJson, parseJsonText, UnsafeNumber } from './json.ts';

/** Comparable, -0 and all. Two parsers may build the same value in different ways: its text is what counts. */
const shown = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) => (Object.is(inner, -0) ? 'minus zero' : inner));

const digits = (least: number, most: number) =>
  fc
    .tuple(fc.constantFrom('1', '2', '5', '9'), fc.stringMatching(new RegExp(`^\\d{${least - 1},${most - 1}}$`)))
    .map((d) => d.join(''));

/** Any character that UTF-8 can hold (`unit: 'binary'` would take a second to begin). */
const character = fc
  .oneof(fc.integer({ min: 0, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0x10ffff }))
  .map((code) => String.fromCodePoint(code));
const spaces = fc.constantFrom('', '', ' ', '\n\t', '\r ');
/** Number tokens that a double keeps, in every notation. */
const safeNumber = fc.oneof(
  fc.constantFrom('0', '-0', '0.0', '0e5', '-0.0E-7', '1e21', '100000000000000000000000', '1.7e308', '2.3e-308'),
  fc.maxSafeInteger().map((n) => String(n % 1e15)),
  fc.tuple(fc.constantFrom('', '-'), fc.nat(9999999), digits(1, 8)).map(([sign, n, d]) => `${sign}${n}.${d}`),
  fc.tuple(digits(1, 15), fc.constantFrom('e', 'E', 'e+', 'e-'), fc.nat(290)).map((parts) => parts.join('')),
);
const text = fc.string({ unit: character }).map((s) => JSON.stringify(s));
const name = fc.oneof(fc.constantFrom('"a"', '"__proto__"', '"toString"', '"\\u0061"'), text);
const spaced = (inner: fc.Arbitrary<string>) => fc.tuple(spaces, inner, spaces).map((parts) => parts.join(''));

/** JSON texts with white space, escapes and names that stand twice. */
const json = fc.letrec<{ value: string; list: string; map: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    safeNumber,
    text,
    fc.constantFrom('null', 'true', 'false'),
    tie('list'),
    tie('map'),
  ),
  list: fc.array(spaced(tie('value')), { maxLength: 4 }).map((inner) => `[${inner.join(',')}]`),
  map: fc
    .array(fc.tuple(spaced(name), spaced(tie('value'))), { maxLength: 5 })
    .map((inner) => `{${inner.map((pair) => pair.join(':')).join(',')}}`),
})).value;

/** The name of what was thrown, undefined where nothing was. */
function thrownBy(act: () => unknown): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.name : 'no error';
  }
}

describe('parseJsonText', () => {
  test('reads what JSON.parse reads where no number is unsafe', () => {
    fc.assert(
      fc.property(spaced(json), (given) => shown(parseJsonText(given)) === shown(JSON.parse(given))),
      { numRuns: 1000 },
    );
  });

  test('reads the same beside an unsafe number as without it', () => {
    fc.assert(
      fc.property(json, (given) => {
        const [unsafe, beside] = parseJsonText(`[1e999,${given}]`) as unknown[];
        expect(unsafe).toBeInstanceOf(UnsafeNumber);
        expect(shown(beside)).toBe(shown(JSON.parse(given)));
      }),
    );
  });

  test('refuses what JSON.parse refuses, with a SyntaxError', () => {
    const damage = fc.tuple(
      json,
      fc.nat(),
      fc.nat(2),
      fc.constantFrom('', '"', ',', '}', ']', '-', 'e', '.', '0', '\\', '\0', 'é'),
    );
    fc.assert(
      fc.property(damage, ([given, at, cut, added]) => {
        const from = at % (given.length + 1);
        const damaged = given.slice(0, from) + added + given.slice(from + cut);
        expect(thrownBy(() => parseJsonText(damaged))).toBe(thrownBy(() => JSON.parse(damaged)));
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    '1234567890123456',
    '-1234567890123456',
    '0.1234567890123456',
    '123456789.0123456e-3',
    '1000000000000001',
    '1e309',
    '-1e309',
    '1e-309',
    '5e-324',
  ])('hands on %s as its text wherever it stands', (token) => {
    const unsafe = new UnsafeNumber(token);
    expect(parseJsonText(` ${token}\n`)).toEqual(unsafe);
    expect(parseJsonText(`[0,${token}]`)).toEqual([0, unsafe]);
    expect(parseJsonText(`{"a": ${token}, "b":"1"}`)).toEqual({ a: unsafe, b: '1' });
  });

  test('hands on a number of more than 400 characters, whatever it is worth', () => {
    const token = `0.${'0'.repeat(399)}`;
    expect(parseJsonText(token)).toEqual(new UnsafeNumber(token));
  });

  test('hands on any number of more than 15 significant digits', () => {
    fc.assert(
      fc.property(digits(16, 40), fc.constantFrom('', '.5', 'e3', 'E-7'), (whole, rest) => {
        const token = `${whole.replace(/0$/, '9')}${rest}`;
        expect(parseJsonText(`{"a":${token}}`)).toEqual({ a: new UnsafeNumber(token) });
      }),
    );
  });

  test.each([
    ['zeros in front are no significant digits', '0.000000000000000000001', 1e-21],
    ['zeros behind are none', '100000000000000000000', 1e20],
    ['fifteen digits are kept', '0.123456789012345', 0.123456789012345],
    ['zero is kept with any exponent', '0e-999', 0],
    ['the least normal number that fifteen digits can write is kept', '2.22507385850721e-308', 2.22507385850721e-308],
    ['a number of 400 characters is taken apart', `0.${'0'.repeat(398)}`, 0],
  ])('a double is used where it keeps every digit: %s', (_, token, value) => {
    expect(parseJsonText(`[${token}]`)).toEqual([value]);
    expect(parseJsonText(token)).toBe(value);
  });

  test('an unsafe number is written as a string', () => {
    expect(JSON.stringify(parseJsonText('[12345678901234567890]'))).toBe('["12345678901234567890"]');
  });

  test('the last of two equal names stands, with and without numbers that need care', () => {
    expect(parseJsonText('{"a":1,"a":{"b":2},"a":3}')).toEqual({ a: 3 });
    expect(parseJsonText('{"a":1e0,"a":{"b":2},"a":3}')).toEqual({ a: 3 });
    expect(parseJsonText('{"a":{"text":"1e999"},"a":1e999}')).toEqual({ a: new UnsafeNumber('1e999') });
  });

  test('takes 64 levels of nesting and no more', () => {
    const nested = (levels: number): string => '[{"a":'.repeat(levels / 2) + '1e0' + '}]'.repeat(levels / 2);
    expect(parseJsonText(nested(64))).toEqual(JSON.parse(nested(64)));
    expect(() => parseJsonText(nested(66))).toThrow(SyntaxError);
    expect(() => parseJsonText('['.repeat(65))).toThrow('nested deeper than 64');
    expect(() => parseJsonText('{"a":'.repeat(100_000))).toThrow(SyntaxError);
  });

  test('counts depth, not brackets: neither siblings nor texts add to it', () => {
    const siblings = `[${Array.from({ length: 100 }, () => '[{}]').join(',')}]`;
    expect(parseJsonText(siblings)).toHaveLength(100);
    const brackets = JSON.stringify(`\\"${'[{"'.repeat(100)}`);
    expect(parseJsonText(brackets)).toBe(JSON.parse(brackets));
  });
});

describe('parseJson', () => {
  test('reads bytes as UTF-8', () => {
    expect(parseJson(Buffer.from('{"città":"Zürich 😀"}'))).toEqual({ città: 'Zürich 😀' });
  });

  test.each([
    ['a lone continuation', [0x22, 0x80, 0x22]],
    ['a character that breaks off', [0x22, 0xc3, 0x22]],
    ['an overlong form', [0x22, 0xc0, 0xaf, 0x22]],
    ['a surrogate', [0x22, 0xed, 0xa0, 0x80, 0x22]],
  ])('throws TypeError for bytes that are not UTF-8: %s', (_, bytes) => {
    expect(() => parseJson(Uint8Array.from(bytes))).toThrow(TypeError);
  });

  test('throws SyntaxError for UTF-8 that is no JSON', () => {
    expect(() => parseJson(Buffer.from('{"a":'))).toThrow(SyntaxError);
  });
});
