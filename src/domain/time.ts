/** Event times: ISO 8601 with an offset, in microseconds since 1970. */

const DATE = /(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])/;
const CLOCK = /([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:[.,](\d{1,9}))?)?/;
const OFFSET = /([Zz]|[+-](?:[01]\d|2[0-3]):?[0-5]\d)/;
const ISO = new RegExp(`^${DATE.source}[Tt ]${CLOCK.source}${OFFSET.source}$`);
const MICROS_PER_MINUTE = 60_000_000;

/** The calendar repeats after 400 years of 146,097 days. Date.UTC takes the years 0 to 99 for 1900 to 1999: it never sees them. */
const CYCLE_YEARS = 400;
const CYCLE_MS = 146_097 * 86_400_000;

const daysIn = (year: number, month: number): number => new Date(Date.UTC(year + CYCLE_YEARS, month, 0)).getUTCDate();

const offsetMinutes = (text: string): number => {
  if (text === 'Z' || text === 'z') return 0;
  const digits = text.replace(':', '').slice(1);
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2));
  return text.startsWith('-') ? -minutes : minutes;
};

/**
 * Microseconds since 1970 (further digits are cut off), `undefined` for what is unclear or not on the calendar. Exact up to
 * 2255; beyond, it may be no safe integer.
 */
export function parseTime(text: string): number | undefined {
  const match = ISO.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second = '0', fraction = '', offset = 'Z'] = match;
  const [y, mo, d] = [Number(year), Number(month), Number(day)];
  if (d > daysIn(y, mo)) return undefined;
  const ms = Date.UTC(y + CYCLE_YEARS, mo - 1, d, Number(hour), Number(minute), Number(second)) - CYCLE_MS;
  return ms * 1000 + Number(fraction.slice(0, 6).padEnd(6, '0')) - offsetMinutes(offset) * MICROS_PER_MINUTE;
}

/** ISO 8601, UTC, as many fractional digits as are not zero (none, 3 or 6). */
export function formatTime(micros: number): string {
  const iso = new Date(Math.floor(micros / 1000)).toISOString();
  const rest = ((micros % 1000) + 1000) % 1000;
  if (rest !== 0) return `${iso.slice(0, -1)}${String(rest).padStart(3, '0')}Z`;
  return iso.endsWith('.000Z') ? `${iso.slice(0, -5)}Z` : iso;
}
