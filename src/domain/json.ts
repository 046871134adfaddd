/**
 * JSON in, nothing lost: a number whose text has more significant digits than a double keeps is handed on as its text, so
 * that the one event that holds it can be refused by name.
 */
import { parse } from 'lossless-json';

/** A number token that a double would change. */
export class UnsafeNumber {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
  toJSON(): string {
    return this.text;
  }
}

/** Significant digits that every double keeps (IEEE 754 binary64: DBL_DIG), from the least normal one (DBL_MIN) on. */
const SAFE_DIGITS = 15;
const LEAST_NORMAL = 2 ** -1022;
/** A longer token is not taken apart: cutting its zeros off would cost the square of its length. */
const MAX_TOKEN = 400;
const MAX_DEPTH = 64;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** A number of 16 or more characters, or with an exponent: only then can it be unsafe. Texts may match too; that costs time only. */
const SUSPECT = /[[:,]\s*-?(?:\d[\d.]{15,}|\d[\d.]*[eE])|^\s*-?\d[\d.eE+-]*\s*$/;

const significantDigits = (text: string): number => {
  const [mantissa = ''] = text.split(/[eE]/);
  return mantissa.replace(/[-.]/g, '').replace(/^0+/, '').replace(/0+$/, '').length;
};

/** Whether a double is one that an event can hold: of at most 15 significant digits. */
export const keepsDigits = (value: number): boolean => significantDigits(String(value)) <= SAFE_DIGITS;

const numberOf = (text: string): unknown => {
  if (text.length > MAX_TOKEN) return new UnsafeNumber(text);
  const value = Number(text);
  const digits = significantDigits(text);
  const isKept = digits <= SAFE_DIGITS && Number.isFinite(value) && (digits === 0 || Math.abs(value) >= LEAST_NORMAL);
  return isKept ? value : new UnsafeNumber(text);
};

/** The last of two equal names stands, as for JSON.parse: both ways through must read the same. */
const options = { parseNumber: numberOf, onDuplicateKey: ({ newValue }: { readonly newValue: unknown }) => newValue };

/** In strings, too: a bound, found by the machine's own search. */
function countOf(text: string, character: string): number {
  let count = 0;
  for (let at = text.indexOf(character); at >= 0; at = text.indexOf(character, at + 1)) count += 1;
  return count;
}

/** Nesting deeper than any event: recursion over it would end the process. */
function demandDepth(text: string): void {
  if (countOf(text, '{') + countOf(text, '[') <= MAX_DEPTH) return;
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length; at += 1) {
    const c = text.charCodeAt(at);
    if (inString) {
      if (c === 0x5c) at += 1;
      else if (c === 0x22) inString = false;
    } else if (c === 0x22) inString = true;
    else if (c === 0x7b || c === 0x5b) {
      depth += 1;
      if (depth > MAX_DEPTH) throw new SyntaxError(`nested deeper than ${String(MAX_DEPTH)}`);
    } else if (c === 0x7d || c === 0x5d) depth -= 1;
  }
}

/** Throws SyntaxError for what is no JSON, or nested deeper than 64. */
export function parseJsonText(text: string): unknown {
  demandDepth(text);
  return SUSPECT.test(text) ? parse(text, undefined, options) : (JSON.parse(text) as unknown);
}

/** Throws SyntaxError as `parseJsonText` does, and TypeError for what is not UTF-8. */
export const parseJson = (bytes: Uint8Array): unknown => parseJsonText(utf8.decode(bytes));
