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

/** Significant digits that every double keeps (IEEE 754 binary64: DBL_DIG). */
const SAFE_DIGITS = 15;
const MAX_DEPTH = 64;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** A number of 16 or more characters, or with an exponent: only then can it be unsafe. Texts may match too; that costs time only. */
const SUSPECT = /[[:,]\s*-?(?:\d[\d.]{15,}|\d[\d.]*[eE])|^\s*-?[\d.]+\s*$/;

const significantDigits = (text: string): number => {
  const [mantissa = ''] = text.split(/[eE]/);
  return mantissa.replace(/[-.]/g, '').replace(/^0+/, '').replace(/0+$/, '').length;
};

const numberOf = (text: string): unknown => {
  const value = Number(text);
  if (significantDigits(text) > SAFE_DIGITS || !Number.isFinite(value)) return new UnsafeNumber(text);
  return value;
};

/** Nesting deeper than any event: recursion over it would end the process. */
function demandDepth(text: string): void {
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

/** Throws SyntaxError (or TypeError for invalid UTF-8) for what is no JSON. */
export function parseJson(bytes: Uint8Array): unknown {
  const text = utf8.decode(bytes);
  demandDepth(text);
  return SUSPECT.test(text) ? parse(text, undefined, numberOf) : (JSON.parse(text) as unknown);
}
