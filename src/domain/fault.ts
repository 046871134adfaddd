import { UnsafeNumber } from './json.ts';

/**
 * What is wrong with an event: a code of the closed list, the field, the value, and the reason in words. All texts are
 * well-formed, without NUL, and of at most 200 characters, whatever the event held: they can be stored and printed.
 */
export interface Fault {
  readonly code: RejectCode;
  readonly field: string;
  readonly value: string;
  readonly reason: string;
}

export const REJECT_CODES = {
  NOT_AN_OBJECT: 'an event must be a JSON object',
  MISSING_FIELD: 'a required field is absent',
  UNKNOWN_FIELD: 'a field that an event does not have',
  WRONG_TYPE: 'a field of another JSON type than allowed',
  EMPTY: 'an id without characters',
  TOO_LONG: 'an id of more than 256 bytes of UTF-8',
  BAD_TEXT: 'NUL or a lone surrogate in a text, or bytes that are not UTF-8',
  NOT_A_DECIMAL: 'a quantity that is no decimal number',
  NEGATIVE_QUANTITY: 'a quantity below zero',
  TOO_MANY_DIGITS: 'a decimal of more than 26 digits before the point or 12 behind it',
  NUMBER_NEEDS_STRING: 'a JSON number of more than 15 significant digits, or beyond the range of a double: send a string',
  BAD_TIME: 'a time that is not ISO 8601 with an offset, or not on the calendar',
  TIME_BEFORE_1970: 'a time before 1970',
  TOO_FAR_IN_FUTURE: 'a time more than 5 minutes after the arrival',
  TOO_OLD: 'a time before the bound of the edge, or before what is kept',
  PROPERTIES_TOO_LARGE: 'properties of more than 32 KiB',
  UNSUPPORTED_CLOUDEVENT: 'a CloudEvent of another version or with binary data',
  UNDECODABLE: 'a record of the log that is no event of a known encoding',
  UNKNOWN_TENANT: 'a tenant that is not registered',
  SCHEMA_VIOLATION: 'properties that the schema of the event type does not take',
  PROCESSOR_FAULT: 'a processor of this installation failed on the event',
  KEY_CONFLICT: 'the key was used before with other content',
} as const;
export type RejectCode = keyof typeof REJECT_CODES;

const SHOWN = 200;

/** PostgreSQL refuses NUL, and a reject that cannot be stored would stop its lineage for good. */
const clean = (text: string): string => {
  const cut = text.length > SHOWN ? `${text.slice(0, SHOWN - 1)}…` : text;
  return cut.toWellFormed().replaceAll('\0', '\u2400');
};

const textOf = (value: unknown): string => {
  if (value instanceof UnsafeNumber) return value.text;
  if (value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
};

export const fault = (code: RejectCode, field: string, value: unknown, reason: string = REJECT_CODES[code]): Fault => ({
  code,
  field: clean(field),
  value: clean(textOf(value)),
  reason: clean(reason),
});

/** Tells the outcome of a check apart. Never ask it of a caller's own object: that could hold any names. */
export const isFault = (outcome: unknown): outcome is Fault =>
  typeof outcome === 'object' && outcome !== null && 'code' in outcome && 'reason' in outcome;
