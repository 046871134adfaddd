import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatTime, parseTime } from './time.ts';

const [FIRST, LAST] = [Date.parse('0000-01-01T00:00:00Z'), Date.parse('9999-12-31T23:59:59Z')];
const pad = (n: number, width = 2): string => String(n).padStart(width, '0');

/** Whole seconds of the years 0000 to 9999: as microseconds they are exact, though no safe integers. */
const seconds = fc.integer({ min: FIRST / 1000 + 86_400, max: LAST / 1000 - 86_400 });
const micros = fc.maxSafeInteger();
const offsets = fc.integer({ min: -(24 * 60 - 1), max: 24 * 60 - 1 });

interface Style {
  readonly separator: string;
  readonly colon: string;
}
const style: fc.Arbitrary<Style> = fc.record({ separator: fc.constantFrom('T', 't', ' '), colon: fc.constantFrom(':', '') });

const offsetText = (offset: number, colon: string): string =>
  `${offset < 0 ? '-' : '+'}${pad(Math.floor(Math.abs(offset) / 60))}${colon}${pad(Math.abs(offset) % 60)}`;
/** The clock on a wall at this offset, by Date. */
const wallText = (ms: number, offset: number, { separator, colon }: Style): string =>
  new Date(ms + offset * 60_000).toISOString().slice(0, 19).replace('T', separator) + offsetText(offset, colon);

describe('a time is read', () => {
  test('as Date reads it, in any year and at any offset', () => {
    fc.assert(
      fc.property(seconds, offsets, style, (s, offset, style) => {
        expect(parseTime(wallText(s * 1000, offset, style))).toBe(s * 1_000_000);
        expect(parseTime(new Date(s * 1000).toISOString())).toBe(s * 1_000_000);
      }),
      { numRuns: 1000 },
    );
  });

  test('to the microsecond; further digits are cut off', () => {
    const second = Date.parse('2026-01-01T00:00:00Z') * 1000;
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.nat(999_999_999), fc.constantFrom('.', ','), (width, drawn, point) => {
        const fraction = pad(drawn, 9).slice(0, width);
        const expected = Math.floor(Number(fraction.padEnd(9, '0')) / 1000);
        expect(parseTime(`2026-01-01T00:00:00${point}${fraction}Z`)).toBe(second + expected);
      }),
    );
  });

  test.each([
    ['1970-01-01T00:00Z', 0],
    ['1970-01-01T00:00:00z', 0],
    ['1970-01-01T00:00:00-00:00', 0],
    ['1970-01-01T00:00:00.0000019Z', 1],
    ['1969-12-31T23:59:59.9999999Z', -1],
    ['1970-01-01T02:30+02:30', 0],
    ['1969-12-31T18:00-0600', 0],
    ['0000-01-01T00:00Z', FIRST * 1000],
    ['0099-12-31T00:00Z', Date.parse('0099-12-31T00:00Z') * 1000],
    ['9999-12-31T23:59:59Z', LAST * 1000],
  ])('%s', (text, micros) => {
    expect(parseTime(text)).toBe(micros);
  });

  test('on every day of the calendar, and on no other', () => {
    const dates = fc.record({
      y: fc.integer({ min: 0, max: 9999 }),
      m: fc.integer({ min: 1, max: 12 }),
      d: fc.integer({ min: 27, max: 31 }),
    });
    fc.assert(
      fc.property(dates, ({ y, m, d }) => {
        const text = `${pad(y, 4)}-${pad(m)}-${pad(d)}T00:00:00`;
        // Date takes 30 February for 2 March.
        const exists = new Date(`${text}Z`).toISOString().startsWith(text);
        expect(parseTime(`${text}Z`) !== undefined).toBe(exists);
      }),
      { numRuns: 1000 },
    );
  });

  test('on 29 February of leap years alone', () => {
    const leap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
    const years = Array.from({ length: 10_000 }, (_, year) => year);
    expect(years.filter((year) => parseTime(`${pad(year, 4)}-02-29T12:00Z`) !== undefined)).toEqual(years.filter(leap));
  });
});

describe('a time is refused', () => {
  test.each([
    ['without an offset', '2026-01-01T00:00:00'],
    ['without a time', '2026-01-01'],
    ['with a month 13', '2026-13-01T00:00Z'],
    ['with a month 00', '2026-00-01T00:00Z'],
    ['with a day 00', '2026-01-00T00:00Z'],
    ['with a day 32', '2026-01-32T00:00Z'],
    ['with 31 April', '2026-04-31T00:00Z'],
    ['at 24:00', '2026-01-01T24:00Z'],
    ['with a minute 60', '2026-01-01T00:60Z'],
    ['with a leap second', '2016-12-31T23:59:60Z'],
    ['with a bare point', '2026-01-01T00:00:00.Z'],
    ['with ten fractional digits', '2026-01-01T00:00:00.0000000000Z'],
    ['with a fraction of a minute', '2026-01-01T00:00.5Z'],
    ['with an offset of hours alone', '2026-01-01T00:00+05'],
    ['with an offset of 24 hours', '2026-01-01T00:00+24:00'],
    ['with an offset of 60 minutes', '2026-01-01T00:00+01:60'],
    ['with a zone name', '2026-01-01T00:00 UTC'],
    ['with a bracketed zone', '2026-01-01T00:00Z[UTC]'],
    ['with a year of five digits', '12026-01-01T00:00Z'],
    ['with a signed year', '+002026-01-01T00:00Z'],
    ['as a week', '2026-W01-1T00:00Z'],
    ['without dashes', '20260101T000000Z'],
    ['with white space', ' 2026-01-01T00:00Z'],
    ['with a line break', '2026-01-01T00:00Z\n'],
    ['with other digits', '٢٠٢٦-01-01T00:00Z'],
    ['as a number', '1767225600'],
    ['as nothing', ''],
  ])('%s', (_, text) => {
    expect(parseTime(text)).toBeUndefined();
  });
});

describe('a time is written', () => {
  test('so that it reads as itself, to the microsecond', () => {
    fc.assert(
      fc.property(micros, (t) => {
        expect(parseTime(formatTime(t))).toBe(t);
      }),
      { numRuns: 1000 },
    );
  });

  test('as Date writes it, but for zeros', () => {
    fc.assert(
      fc.property(micros, (t) => {
        const [second = '', fraction = ''] = formatTime(t).slice(0, -1).split('.');
        const ms = Number((BigInt(t) - (((BigInt(t) % 1000n) + 1000n) % 1000n)) / 1000n);
        expect(`${second}.${fraction.slice(0, 3).padEnd(3, '0')}Z`).toBe(new Date(ms).toISOString());
        expect([0, 3, 6]).toContain(fraction.length);
      }),
    );
  });

  test.each([
    [0, '1970-01-01T00:00:00Z'],
    [1, '1970-01-01T00:00:00.000001Z'],
    [-1, '1969-12-31T23:59:59.999999Z'],
    [-1000, '1969-12-31T23:59:59.999Z'],
    [-1_000_000, '1969-12-31T23:59:59Z'],
    [120_000, '1970-01-01T00:00:00.120Z'],
    [1_000_100, '1970-01-01T00:00:01.000100Z'],
    [Number.MAX_SAFE_INTEGER, '2255-06-05T23:47:34.740991Z'],
  ])('%s as %s', (micros, text) => {
    expect(formatTime(micros)).toBe(text);
  });
});
