/**
 * What the runtime does about a failure. `transient`: wait and try again. `invalid`: the caller's input is at fault, say so
 * to the caller. `fatal`: going on could answer wrongly, so stop and name what is broken.
 */
export type FailureKind = 'transient' | 'invalid' | 'fatal';

/** Every failure code and what is done about it. A code that is not here does not compile. */
export const FAILURES = {
  // transient: a dependency is down or busy
  LOG_UNAVAILABLE: 'transient',
  DATABASE_UNAVAILABLE: 'transient',
  SPEED_UNAVAILABLE: 'transient',
  ARCHIVE_UNAVAILABLE: 'transient',
  ARCHIVE_FULL: 'transient',
  STARTING: 'transient',
  METER_FILLING: 'transient',
  OVERLOADED: 'transient',
  AFTER_TIMEOUT: 'transient',
  // invalid: what was asked cannot be answered
  BAD_REQUEST: 'invalid',
  NOT_JSON: 'invalid',
  INVALID_UTF8: 'invalid',
  WRONG_CONTENT_TYPE: 'invalid',
  TOO_LARGE: 'invalid',
  TOO_MANY_EVENTS: 'invalid',
  UNKNOWN_METER: 'invalid',
  NOT_FOUND: 'invalid',
  METHOD_NOT_ALLOWED: 'invalid',
  FORBIDDEN_HOST: 'invalid',
  FORBIDDEN_ORIGIN: 'invalid',
  BAD_CONFIG: 'invalid',
  BAD_METERS: 'invalid',
  BAD_MAPPING: 'invalid',
  BAD_INPUT_FILE: 'invalid',
  BAD_CHECKPOINT: 'invalid',
  BAD_OUTPUT: 'invalid',
  PARQUET_UNAVAILABLE: 'invalid',
  // fatal: stop, and name the file or the row
  DATA_DIR_LOCKED: 'fatal',
  DATA_DIR_NEWER: 'fatal',
  DATABASE_MISCONFIGURED: 'fatal',
  INSTALLATION_DIFFERS: 'fatal',
  DATABASE_RESTORED: 'fatal',
  ARCHIVE_DAMAGED: 'fatal',
  ARCHIVE_MISSING: 'fatal',
  ARCHIVE_CONFLICT: 'fatal',
  ARCHIVE_MISCONFIGURED: 'fatal',
  LOG_REPLACED: 'fatal',
  LOG_TRIMMED: 'fatal',
  LOG_DISORDER: 'fatal',
  LOG_MISCONFIGURED: 'fatal',
  SPEED_MISCONFIGURED: 'fatal',
} as const satisfies Record<string, FailureKind>;

export type FailureCode = keyof typeof FAILURES;

export interface FailureDetail {
  /** The field of the input that is at fault, as the caller knows it. */
  readonly field?: string;
  /** The value found there, as text. */
  readonly value?: string;
  /** What is allowed instead, or what to do next. */
  readonly allowed?: string;
  /** How long a caller should wait before the next try. */
  readonly retryAfterMs?: number;
}

/** The one error class. The message says what was attempted, on what, and what came of it. */
export class MeterError extends Error {
  readonly code: FailureCode;
  readonly detail: FailureDetail;

  constructor(code: FailureCode, message: string, options: FailureDetail & { readonly cause?: unknown } = {}) {
    const { cause, ...detail } = options;
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'MeterError';
    this.code = code;
    this.detail = detail;
  }

  get kind(): FailureKind {
    return FAILURES[this.code];
  }
}

/** The kind of any thrown value: what is not ours is a defect, hence fatal. */
export const kindOf = (error: unknown): FailureKind => (error instanceof MeterError ? error.kind : 'fatal');

/** Any thrown value as an Error. */
export const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));
