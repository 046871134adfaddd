/** Event times: ISO 8601 with an offset, in microseconds since 1970. */

const DATE = /(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])/;
const CLOCK = /([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:[.,](\d{1,9}))?)?/;
const OFFSET = /([Zz]|[+-](?:[01]\d|2[0-3]):?[0-5]\d)/;
const ISO = new RegExp(`^${DATE.source}[Tt ]${CLOCK.source}${OFFSET.source}$`);
const MICROS_PER_MINUTE = 60_000_000;

/** The calendar repeats after 400 years of 146,097 days. Date.UTC takes the years 0 to 99 for 1900 to 1999: it never sees them. */
const CYCLE_YEARS = 400;
const CYCLE_MS = 146_097 * 86_400_000;

const isLeap = (year: number): boolean => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;

/** Of the twelve, every other has 31, and July and August both. */
const daysIn = (year: number, month: number): number =>
  month === 2 ? (isLeap(year) ? 29 : 28) : 30 + ((month + (month >> 3)) & 1);

const utc = (year: number, month: number, day: number, hour: number, minute: number, second: number): number =>
  Date.UTC(year + CYCLE_YEARS, month - 1, day, hour, minute, second) - CYCLE_MS;

const offsetMinutes = (text: string): number => {
  if (text === 'Z' || text === 'z') return 0;
  const digits = text.replace(':', '').slice(1);
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2));
  return text.startsWith('-') ? -minutes : minutes;
};

/** The number in some digits of a text; NaN where one is none. */
function digitsAt(text: string, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at += 1) {
    const digit = text.charCodeAt(at) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}

/** Where the marks of `2026-11-24T10:00:03` stand. */
const MARKS = [
  [4, '-'],
  [7, '-'],
  [10, 'T'],
  [13, ':'],
  [16, ':'],
] as const;
const SECONDS_END = 19;
const MOST = SECONDS_END + '.123456789Z'.length;

/** What most times are: `2026-11-24T10:00:03Z`, perhaps with a fraction. Undefined: another form, or none. */
function parseUtc(text: string): number | undefined {
  const end = text.length - 1;
  if (end < SECONDS_END || end >= MOST || text.charAt(end) !== 'Z') return undefined;
  for (const [at, mark] of MARKS) if (text.charAt(at) !== mark) return undefined;
  if (end > SECONDS_END && (text.charAt(SECONDS_END) !== '.' || end === SECONDS_END + 1)) return undefined;
  const [year, month, day] = [digitsAt(text, 0, 4), digitsAt(text, 5, 7), digitsAt(text, 8, 10)];
  const [hour, minute, second] = [digitsAt(text, 11, 13), digitsAt(text, 14, 16), digitsAt(text, 17, 19)];
  const fraction = Math.min(end, SECONDS_END + 7);
  const digits = Math.max(0, fraction - SECONDS_END - 1);
  const micros = digitsAt(text, SECONDS_END + 1, fraction) * 10 ** (6 - digits);
  const rest = digitsAt(text, fraction, end);
  // Any of them NaN, and it is another form.
  if (!(month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month))) return undefined;
  if (!(hour <= 23 && minute <= 59 && second <= 59 && micros + rest >= 0)) return undefined;
  return utc(year, month, day, hour, minute, second) * 1000 + micros;
}

/**
 * Microseconds since 1970 (further digits are cut off), `undefined` for what is unclear or not on the calendar. Exact up to
 * 2255; beyond, it may be no safe integer.
 */
export const parseTime = (text: string): number | undefined => parseUtc(text) ?? parseAny(text);

function parseAny(text: string): number | undefined {
  const match = ISO.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second = '0', fraction = '', offset = 'Z'] = match;
  const [y, mo, d] = [Number(year), Number(month), Number(day)];
  if (d > daysIn(y, mo)) return undefined;
  const ms = utc(y, mo, d, Number(hour), Number(minute), Number(second));
  return ms * 1000 + Number(fraction.slice(0, 6).padEnd(6, '0')) - offsetMinutes(offset) * MICROS_PER_MINUTE;
}

/** ISO 8601, UTC, as many fractional digits as are not zero (none, 3 or 6). */
export function formatTime(micros: number): string {
  const iso = new Date(Math.floor(micros / 1000)).toISOString();
  const rest = ((micros % 1000) + 1000) % 1000;
  if (rest !== 0) return `${iso.slice(0, -1)}${String(rest).padStart(3, '0')}Z`;
  return iso.endsWith('.000Z') ? `${iso.slice(0, -5)}Z` : iso;
}
