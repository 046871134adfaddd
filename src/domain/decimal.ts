/**
 * Decimals as scaled integers: 38 digits, 12 of them fractional, held in a bigint times 10^12. Sums may grow past 38
 * digits; what a single event carries may not.
 */
export const SCALE_DIGITS = 12;
export const PRECISION = 38;
export const SCALE = 10n ** 12n;

export type DecimalFault = 'NOT_A_DECIMAL' | 'TOO_MANY_DIGITS';

const SHAPE = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/;
/** A longer text is not taken apart: cutting its zeros off would cost the square of its length. */
const MAX_TEXT = 400;

/** Digits that a double holds whatever they are. */
const QUICK = 15;
const POINT = 0x2e;
const POWERS = Array.from({ length: SCALE_DIGITS + 1 }, (_, n) => 10n ** BigInt(n));

/** What most quantities are: at most 15 digits with a point among them or none. Undefined: not of this form. */
function readShort(text: string): bigint | undefined {
  const { length } = text;
  if (length === 0 || length > QUICK) return undefined;
  let [value, point] = [0, length - 1];
  for (let at = 0; at < length; at += 1) {
    const code = text.charCodeAt(at);
    if (code >= 0x30 && code <= 0x39) value = value * 10 + code - 0x30;
    else if (code === POINT && at > 0 && point === length - 1 && at < length - 1) point = at;
    else return undefined;
  }
  const power = POWERS[SCALE_DIGITS - (length - 1 - point)];
  return power === undefined ? undefined : BigInt(value) * power;
}

/** Plain or exponent notation. Trailing zeros of the fraction do not count as digits. */
export const readDecimal = (text: string): bigint | DecimalFault => readShort(text) ?? readAny(text);

function readAny(text: string): bigint | DecimalFault {
  const match = SHAPE.exec(text);
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match ?? [];
  if (match === null || whole.length + fraction.length === 0) return 'NOT_A_DECIMAL';
  if (text.length > MAX_TEXT) return 'TOO_MANY_DIGITS';
  const digits = `${whole}${fraction}`.replace(/^0+(?=\d)/, '');
  const significant = digits.replace(/0+$/, '');
  if (significant === '' || significant === '0') return 0n;
  const shift = Number(exponent) - fraction.length + (digits.length - significant.length) + SCALE_DIGITS;
  if (shift < 0 || significant.length + shift > PRECISION) return 'TOO_MANY_DIGITS';
  const scaled = BigInt(significant) * 10n ** BigInt(shift);
  return sign === '-' ? -scaled : scaled;
}

/** `undefined` for what is no decimal or has too many digits. */
export function parseDecimal(text: string): bigint | undefined {
  const read = readDecimal(text);
  return typeof read === 'bigint' ? read : undefined;
}

/** Any length: for sums that a database returns. Throws RangeError for what is no plain decimal of 12 fractional digits. */
export function parseSum(text: string): bigint {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  const [, sign = '', whole = '', fraction = ''] = match ?? [];
  const rest = fraction.slice(SCALE_DIGITS);
  if (match === null || /[1-9]/.test(rest)) throw new RangeError(`${text} is no decimal of 12 fractional digits`);
  const scaled = BigInt(whole + fraction.slice(0, SCALE_DIGITS).padEnd(SCALE_DIGITS, '0'));
  return sign === '-' ? -scaled : scaled;
}

/** The shortest plain form: no exponent, no trailing zeros. */
export function formatDecimal(scaled: bigint): string {
  const digits = (scaled < 0n ? -scaled : scaled).toString().padStart(SCALE_DIGITS + 1, '0');
  const fraction = digits.slice(-SCALE_DIGITS).replace(/0+$/, '');
  const text = digits.slice(0, -SCALE_DIGITS) + (fraction === '' ? '' : `.${fraction}`);
  return scaled < 0n ? `-${text}` : text;
}

/** An average of 12 fractional digits, half to even (IEEE 754's default, and what billing rounds by). */
export function divideHalfEven(sum: bigint, count: number | bigint): bigint {
  const n = BigInt(count);
  const negative = sum < 0n;
  const magnitude = negative ? -sum : sum;
  const quotient = magnitude / n;
  const twice = (magnitude % n) * 2n;
  const rounded = twice > n || (twice === n && quotient % 2n === 1n) ? quotient + 1n : quotient;
  return negative ? -rounded : rounded;
}

/** Limbs in base 10^12, limb 0 the fraction; all carry the sign, zero limbs are left out. */
export function toLimbs(scaled: bigint): ReadonlyMap<number, bigint> {
  const limbs = new Map<number, bigint>();
  for (let rest = scaled, n = 0; rest !== 0n; rest /= SCALE, n += 1) if (rest % SCALE !== 0n) limbs.set(n, rest % SCALE);
  return limbs;
}

export function fromLimbs(limbs: ReadonlyMap<number, bigint>): bigint {
  let scaled = 0n;
  for (const [n, limb] of limbs) scaled += limb * SCALE ** BigInt(n);
  return scaled;
}

/** Fixed width, string order is numeric order: a sign digit, then 39 digits (of the complement below zero). */
const WIDTH = PRECISION + 1;
const COMPLEMENT = 10n ** BigInt(WIDTH) - 1n;
export const orderedDecimal = (scaled: bigint): string =>
  scaled < 0n ? `0${(COMPLEMENT + scaled).toString().padStart(WIDTH, '0')}` : `1${scaled.toString().padStart(WIDTH, '0')}`;
export const parseOrdered = (text: string): bigint =>
  text.startsWith('0') ? BigInt(text.slice(1)) - COMPLEMENT : BigInt(text.slice(1));
