/** Event times: ISO 8601 with an offset, in microseconds since 1970. */

const ISO = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?([Zz]|[+-]\d\d:?\d\d)$/;
const MICROS_PER_MINUTE = 60_000_000;

const daysIn = (year: number, month: number): number => new Date(Date.UTC(year, month, 0)).getUTCDate();

const offsetMinutes = (text: string): number => {
  if (text === 'Z' || text === 'z') return 0;
  const digits = text.replace(':', '').slice(1);
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2));
  return text.startsWith('-') ? -minutes : minutes;
};

/** Microseconds since 1970 (further digits are cut off), `undefined` for what is unclear or not on the calendar. */
export function parseTime(text: string): number | undefined {
  const match = ISO.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second = '0', fraction = '', offset = 'Z'] = match;
  const [y, mo, d, h, mi, s] = [year, month, day, hour, minute, second].map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const shift = offsetMinutes(offset);
  if (mo < 1 || mo > 12 || d < 1 || d > daysIn(y, mo) || h > 23 || mi > 59 || s > 59 || Math.abs(shift) >= 24 * 60)
    return undefined;
  const micros = Number(fraction.slice(0, 6).padEnd(6, '0'));
  return Date.UTC(y, mo - 1, d, h, mi, s) * 1000 + micros - shift * MICROS_PER_MINUTE;
}

/** ISO 8601, UTC, as many fractional digits as are not zero (none, 3 or 6). */
export function formatTime(micros: number): string {
  const iso = new Date(Math.floor(micros / 1000)).toISOString();
  const rest = ((micros % 1000) + 1000) % 1000;
  if (rest !== 0) return `${iso.slice(0, -1)}${String(rest).padStart(3, '0')}Z`;
  return iso.endsWith('.000Z') ? `${iso.slice(0, -5)}Z` : iso;
}
