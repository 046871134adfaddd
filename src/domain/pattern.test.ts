import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAX_STEPS, Pattern } from './pattern.ts';
import { BadPattern, complement } from './pattern-parse.ts';

const asRegExp = (text: string, value: string): boolean => new RegExp(text, 'u').test(value);

/** Patterns of every kind that is taken, over an alphabet so small that they match often. */
const atom = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '\\d', '\\W', '[a-c\\d_-]', '😀', '\\.', '[^]', '[]');
const quantifier = fc.constantFrom('', '', '*', '+', '?', '{2}', '{1,}', '{0,2}', '{0}');
const { pattern } = fc.letrec<{ pattern: string; term: string; sequence: string }>((tie) => ({
  term: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('^', '$'),
    fc.tuple(atom, quantifier).map(([one, q]) => one + q),
    fc.tuple(fc.constantFrom('(', '(?:'), tie('pattern'), quantifier).map(([open, inner, q]) => `${open}${inner})${q}`),
  ),
  sequence: fc.array(tie('term'), { maxLength: 4 }).map((all) => all.join('')),
  pattern: fc.array(tie('sequence'), { minLength: 1, maxLength: 3 }).map((all) => all.join('|')),
}));
const value = fc.array(fc.constantFrom('a', 'b', 'c', '1', '.', '-', ' ', '\n', '\u2028', '😀', 'é'), { maxLength: 8 });

test('a pattern finds what the same regular expression finds', () => {
  let taken = 0;
  fc.assert(
    fc.property(pattern, fc.array(value, { minLength: 1, maxLength: 6 }), (text, values) => {
      let made: Pattern;
      try {
        made = new Pattern(text);
      } catch (error) {
        if (!(error instanceof BadPattern)) throw error;
        return;
      }
      taken += 1;
      for (const one of values) expect([one, made.test(one.join(''))]).toEqual([one, asRegExp(text, one.join(''))]);
    }),
    { numRuns: 3000 },
  );
  expect(taken).toBeGreaterThan(2000);
});

test.each([
  ['^[a-z]+(-[a-z]+)*$', 'eu-west', 'eu-'],
  ['^(eu|us)-\\d{1,2}$', 'us-12', 'us-123'],
  ['$^', '', 'a'],
  ['a$', 'ba', 'ab'],
  ['^.$', '😀', '\n'],
  ['^[^\\n]{2,3}$', 'aé', 'a'],
  ['[\\w-]{3}', '..a-b..', '..a-'],
  ['^\\$\\{\\}$', '${}', '$'],
  ['', '', undefined],
  ['^$', '', ' '],
  ['b|^a', 'xb', 'xa'],
])('%s', (text, yes, no) => {
  expect(new Pattern(text).test(yes)).toBe(true);
  if (no !== undefined) expect(new Pattern(text).test(no)).toBe(false);
});

describe('what is no regular language, or not the same under every engine, is refused by name', () => {
  test.each([
    ['(?=a)b', 'look-around'],
    ['(?<!a)b', 'look-around'],
    ['(?<name>a)', 'named groups'],
    ['(a)\\1', '\\1 is not taken'],
    ['\\p{L}', '\\p is not taken'],
    ['\\s', '\\s is not taken'],
    ['\\bword', '\\b is not taken'],
    ['\\u0041', '\\u is not taken'],
    ['a+?', 'lazy'],
    ['a{1001}', 'counts to 1000'],
    ['a{1,99999999999999999999999}', 'counts to 1000'],
    ['(', 'no regular expression'],
    ['a**', 'no regular expression'],
    ['[z-a]', 'no regular expression'],
    ['{', 'no regular expression'],
    ['a{2,1}', 'no regular expression'],
    ['a'.repeat(MAX_STEPS + 1), `more than ${MAX_STEPS} steps`],
    ['((a{100}){100}){100}', `more than ${MAX_STEPS} steps`],
    ['(((){1000}){1000}){1000}', `more than ${MAX_STEPS} steps`],
    ['('.repeat(33) + ')'.repeat(33), 'nested deeper than 32'],
  ])('%s', (text, why) => {
    expect(() => new Pattern(text)).toThrow(BadPattern);
    expect(() => new Pattern(text)).toThrow(why);
  });
});

describe('time grows with the text alone', () => {
  test.each(['^(a+)+$', '^(a|a)*$', '^(a|aa)+$', '(a*)*b', `^(${'a?'.repeat(30)})${'a'.repeat(30)}$`, '(a|b)*a(a|b){20}c'])(
    '%s over 32 KiB',
    (text) => {
      const made = new Pattern(text);
      const from = performance.now();
      made.test(`${'ab'.repeat(8)}${'a'.repeat(32_768)}!`);
      // Backtracking would take years; a loaded machine takes a moment.
      expect(performance.now() - from).toBeLessThan(5000);
    },
  );

  test('a pattern whose states are more than are kept answers as before', () => {
    const text = '(a|b)*a(a|b){12}$';
    const made = new Pattern(text);
    for (let n = 0; n < 40; n += 1) {
      const word = Array.from((n * 7_654_321).toString(2).repeat(20), (bit) => (bit === '1' ? 'a' : 'b')).join('');
      expect(made.test(word)).toBe(word.at(-13) === 'a');
    }
  });
});

test('the complement of a set holds what the set does not', () => {
  expect(complement([])).toEqual([[0, 0x10ffff]]);
  expect(complement([[0, 0x10ffff]])).toEqual([]);
  expect(
    complement([
      [5, 9],
      [0, 2],
      [8, 12],
    ]),
  ).toEqual([
    [3, 4],
    [13, 0x10ffff],
  ]);
});
