import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  divideHalfEven,
  formatDecimal,
  fromLimbs,
  orderedDecimal,
  parseDecimal,
  parseOrdered,
  parseSum,
  readDecimal,
  SCALE,
  toLimbs,
} from './decimal.ts';

const LIMIT = 10n ** 38n;
const within = (limit: bigint): fc.Arbitrary<bigint> => fc.bigInt({ min: 1n - limit, max: limit - 1n });
const single = within(LIMIT);
/** Longer than any event's value, as sums become; small ones too. */
const long = fc.oneof(within(10n ** 80n), within(10n ** 14n), fc.constant(0n));
const digits = (maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom('0', '0', '1', '5', '9'), maxLength });

interface Parts {
  readonly sign: '' | '+' | '-';
  readonly whole: string;
  readonly fraction: string;
  readonly exponent: number | undefined;
}
const parts: fc.Arbitrary<Parts> = fc
  .record({
    sign: fc.constantFrom('' as const, '+' as const, '-' as const),
    whole: digits(30),
    fraction: digits(16),
    exponent: fc.option(fc.integer({ min: -45, max: 45 }), { nil: undefined }),
  })
  .filter(({ whole, fraction }) => whole + fraction !== '');

const textOf = ({ sign, whole, fraction, exponent }: Parts): string =>
  `${sign}${whole}${fraction === '' ? '' : `.${fraction}`}${exponent === undefined ? '' : `e${exponent}`}`;

/** What the parts mean, times 10^12, as a fraction; no digit is looked at. */
function meaningOf({ sign, whole, fraction, exponent = 0 }: Parts): bigint | 'TOO_MANY_DIGITS' {
  const numerator = BigInt(whole + fraction) * 10n ** BigInt(exponent + 45) * SCALE;
  const denominator = 10n ** BigInt(fraction.length + 45);
  if (numerator % denominator !== 0n || numerator / denominator >= LIMIT) return 'TOO_MANY_DIGITS';
  return (sign === '-' ? -numerator : numerator) / denominator;
}

describe('a decimal is read', () => {
  test('as what its digits and exponent mean, or has too many digits', () => {
    fc.assert(
      fc.property(parts, (p) => {
        expect(readDecimal(textOf(p))).toBe(meaningOf(p));
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    ['1', SCALE],
    ['+1.50', 15n * 10n ** 11n],
    ['-.5', -(SCALE / 2n)],
    ['5.', 5n * SCALE],
    ['1e3', 1000n * SCALE],
    ['1E+3', 1000n * SCALE],
    ['1200e-2', 12n * SCALE],
    ['1e-12', 1n],
    ['0.00000000000100000', 1n],
    ['00012', 12n * SCALE],
  ])('%s', (text, scaled) => {
    expect(readDecimal(text)).toBe(scaled);
  });

  const zeros = '0 -0 +0 000 0.0 .0 0. 0e5 0e-99 0e99999999999 0.0000000000000000'.split(' ');
  test.each(zeros)('as nothing from %s', (text) => {
    expect(readDecimal(text)).toBe(0n);
  });

  test('up to 38 digits, 12 of them fractional, and no further', () => {
    const nines = '9'.repeat(26);
    expect(readDecimal(`${nines}.${'9'.repeat(12)}`)).toBe(LIMIT - 1n);
    expect(readDecimal(`-${nines}.${'9'.repeat(12)}`)).toBe(1n - LIMIT);
    expect(readDecimal('1e25')).toBe(LIMIT / 10n);
    for (const text of ['1e26', `1${'0'.repeat(26)}`, '1e-13', '0.0000000000001', `${nines}.${'9'.repeat(13)}`]) {
      expect(readDecimal(text)).toBe('TOO_MANY_DIGITS');
    }
  });

  test('not at all where it is absurdly long, though it may be small', () => {
    expect(readDecimal(`1.${'0'.repeat(398)}`)).toBe(SCALE);
    expect(readDecimal(`1.${'0'.repeat(399)}`)).toBe('TOO_MANY_DIGITS');
    for (const sign of ['', '-']) expect(readDecimal(`1e${sign}${'9'.repeat(390)}`)).toBe('TOO_MANY_DIGITS');
    expect(readDecimal('x'.repeat(500))).toBe('NOT_A_DECIMAL');
  });

  const others = '. - +. e5 .e5 1e 1e+ 1e1.5 1.2.3 --1 1,5 0x1 NaN Infinity ١'.split(' ');
  test.each(['', ' 1', '1\n', ...others])('not from %j', (text) => {
    expect(readDecimal(text)).toBe('NOT_A_DECIMAL');
    expect(parseDecimal(text)).toBeUndefined();
  });

  test('without the fault where the fault is not wanted', () => {
    expect(parseDecimal('1.5')).toBe((3n * SCALE) / 2n);
    expect(parseDecimal('1e26')).toBeUndefined();
  });
});

describe('a decimal is written', () => {
  test.each([
    [0n, '0'],
    [1n, '0.000000000001'],
    [-1n, '-0.000000000001'],
    [SCALE, '1'],
    [-(SCALE / 2n), '-0.5'],
    [1200n * SCALE, '1200'],
    [LIMIT - 1n, `${'9'.repeat(26)}.${'9'.repeat(12)}`],
  ])('%s times 10^-12 as %s', (scaled, text) => {
    expect(formatDecimal(scaled)).toBe(text);
  });

  test('in its shortest plain form, which reads as itself', () => {
    const shortest = /^(?:0|-?(?:[1-9]\d*(?:\.\d*[1-9])?|0\.\d*[1-9]))$/;
    fc.assert(
      fc.property(single, (scaled) => {
        const text = formatDecimal(scaled);
        expect(text).toMatch(shortest);
        expect(readDecimal(text)).toBe(scaled);
      }),
    );
  });

  test('so that sums of texts are sums of integers', () => {
    fc.assert(
      fc.property(fc.array(single, { minLength: 1, maxLength: 20 }), (values) => {
        const sum = values.map(formatDecimal).reduce((total, text) => total + parseSum(text), 0n);
        expect(parseSum(formatDecimal(sum))).toBe(values.reduce((a, b) => a + b));
      }),
    );
  });
});

describe('a sum from a database', () => {
  test('is read at any length, also with zeros behind the twelfth digit', () => {
    fc.assert(
      fc.property(long, fc.nat(10), (scaled, zeros) => {
        const text = formatDecimal(scaled);
        expect(parseSum(text)).toBe(scaled);
        const [whole = '', fraction = ''] = text.split('.');
        expect(parseSum(`${whole}.${fraction.padEnd(12, '0')}${'0'.repeat(zeros)}`)).toBe(scaled);
      }),
    );
    expect(parseSum('-0')).toBe(0n);
  });

  const others = '.5 5. +1 1e3 NaN 0.0000000000001 1.0000000000000100'.split(' ');
  test.each(['', ' 1', ...others])('is refused as %j', (text) => {
    expect(() => parseSum(text)).toThrow(RangeError);
  });
});

describe('an average', () => {
  test('is the nearest integer, of two equally near ones the even', () => {
    const counts = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 2 ** 40 }));
    const sums = fc.oneof(fc.bigInt({ min: -60n, max: 60n }), long);
    fc.assert(
      fc.property(sums, counts, (sum, count) => {
        const average = divideHalfEven(sum, count);
        const miss = 2n * (sum - average * BigInt(count));
        const distance = miss < 0n ? -miss : miss;
        expect(distance < BigInt(count) || (distance === BigInt(count) && average % 2n === 0n)).toBe(true);
        expect(divideHalfEven(sum, BigInt(count))).toBe(average);
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    [1n, 2, 0n],
    [3n, 2, 2n],
    [5n, 2, 2n],
    [-1n, 2, 0n],
    [-3n, 2, -2n],
    [2n, 3, 1n],
    [-4n, 3, -1n],
  ])('of %s by %s is %s', (sum, count, average) => {
    expect(divideHalfEven(sum, count)).toBe(average);
  });

  test('of nothing is refused', () => {
    expect(() => divideHalfEven(1n, 0)).toThrow(RangeError);
  });
});

describe('limbs', () => {
  test('carry the sign, stay below their base, are never zero, and make the number again', () => {
    fc.assert(
      fc.property(long, (scaled) => {
        const limbs = toLimbs(scaled);
        for (const limb of limbs.values()) {
          expect(limb !== 0n && limb > 0n === scaled > 0n && -SCALE < limb && limb < SCALE).toBe(true);
        }
        expect(fromLimbs(limbs)).toBe(scaled);
      }),
    );
  });

  test('added one by one are the limbs of the sum, though some may outgrow their base', () => {
    fc.assert(
      fc.property(fc.array(long, { maxLength: 10 }), (values) => {
        const sums = new Map<number, bigint>();
        for (const value of values) for (const [n, limb] of toLimbs(value)) sums.set(n, (sums.get(n) ?? 0n) + limb);
        expect(fromLimbs(sums)).toBe(values.reduce((a, b) => a + b, 0n));
      }),
    );
  });

  test('leave zeros out, and all are negative below zero', () => {
    const limbsOf = (scaled: bigint): unknown => Object.fromEntries(toLimbs(scaled));
    expect([0n, 5n, -SCALE].map(limbsOf)).toEqual([{}, { 0: 5n }, { 1: -1n }]);
    expect(limbsOf(-(SCALE ** 2n) - 7n)).toEqual({ 0: -7n, 2: -1n });
  });
});

describe('an ordered decimal', () => {
  const wide = fc.oneof(within(10n ** 39n), single, within(1000n));
  const sign = (a: bigint | string, b: bigint | string): number => (a < b ? -1 : a > b ? 1 : 0);

  test('sorts as text where its number sorts', () => {
    fc.assert(
      fc.property(wide, wide, (a, b) => {
        expect(sign(orderedDecimal(a), orderedDecimal(b))).toBe(sign(a, b));
      }),
      { numRuns: 500 },
    );
  });

  test('has one width and reads as the number it was', () => {
    const edges = [0n, 1n, -1n, LIMIT - 1n, 1n - LIMIT, 10n ** 39n - 1n, 1n - 10n ** 39n];
    fc.assert(
      fc.property(fc.oneof(wide, fc.constantFrom(...edges)), (scaled) => {
        const text = orderedDecimal(scaled);
        expect(text).toMatch(/^[01]\d{39}$/);
        expect(parseOrdered(text)).toBe(scaled);
      }),
    );
  });
});
