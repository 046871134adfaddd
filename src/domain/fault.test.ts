import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fault, isFault, REJECT_CODES, type RejectCode } from './fault.ts';
import { UnsafeNumber } from './json.ts';

/** Texts of what PostgreSQL or UTF-8 cannot hold, short and long. */
const hostile = fc.string({
  unit: fc.constantFrom('\0', '\ud83d', '\ude00', '😀', '"', '\\', 'é', 'a'),
  maxLength: 420,
  size: 'max',
});
const jsonValue = fc.letrec((tie) => ({
  any: fc.oneof({ depthSize: 'small' }, hostile, fc.double(), fc.constantFrom(null, true), tie('list'), tie('map')),
  list: fc.array(tie('any'), { maxLength: 4 }),
  map: fc.dictionary(hostile, tie('any'), { maxKeys: 4 }),
})).any;

describe('fault', () => {
  test('every text of a fault can be stored and printed, whatever the event held', () => {
    fc.assert(
      fc.property(hostile, jsonValue, hostile, (field, value, reason) => {
        for (const text of Object.values(fault('BAD_TEXT', field, value, reason))) {
          expect(text.isWellFormed()).toBe(true);
          expect(text).not.toContain('\0');
          expect(text.length).toBeLessThanOrEqual(200);
        }
      }),
    );
  });

  test('a text of 200 characters stays as it is, a longer one is cut and says so', () => {
    expect(fault('EMPTY', 'x'.repeat(200), '').field).toBe('x'.repeat(200));
    expect(fault('EMPTY', 'x'.repeat(201), '').field).toBe(`${'x'.repeat(199)}…`);
  });

  test('a character that the cut would halve becomes one that can be stored', () => {
    expect(fault('EMPTY', '', `${'x'.repeat(198)}😀😀`).value).toBe(`${'x'.repeat(198)}\ufffd…`);
  });

  test('NUL is shown by its symbol', () => {
    expect(fault('BAD_TEXT', 'a\0b', 'c\0', '\0d')).toEqual({
      code: 'BAD_TEXT',
      field: 'a\u2400b',
      value: 'c\u2400',
      reason: '\u2400d',
    });
  });

  test.each([
    ['a string as it is', 'acme', 'acme'],
    ['an absent value as nothing', undefined, ''],
    ['null as JSON', null, 'null'],
    ['an object as JSON', { a: [1, true] }, '{"a":[1,true]}'],
    ['an unsafe number by its digits', new UnsafeNumber('12345678901234567890'), '12345678901234567890'],
    ['an unsafe number within an object by its digits', { a: new UnsafeNumber('1e999') }, '{"a":"1e999"}'],
  ])('a value is shown: %s', (_, value, shown) => {
    expect(fault('WRONG_TYPE', 'tenant_id', value).value).toBe(shown);
  });

  test('a code explains itself where nothing else is said', () => {
    for (const code of Object.keys(REJECT_CODES) as RejectCode[])
      expect(fault(code, '', '').reason).toBe(REJECT_CODES[code]);
  });

  test('a fault is told apart from the outcomes of checks', () => {
    expect(isFault(fault('EMPTY', 'tenant_id', ''))).toBe(true);
    for (const outcome of ['text', 1, 1n, null, undefined, {}, { code: 'EMPTY' }, { reason: 'no' }])
      expect(isFault(outcome)).toBe(false);
  });
});
