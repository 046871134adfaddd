/** The log: JSON lines on stderr, so that stdout stays free for answers. What events contain never gets here. */
import { type DestinationStream, destination, type Level, type Logger, pino, stdTimeFunctions } from 'pino';
import { MeterError } from '../errors.ts';

export type { Logger };

export interface LogOptions {
  readonly level: Level | 'silent';
  /** Where lines go instead of stderr. */
  readonly stream?: DestinationStream;
}

const STDERR = 2;

/** Without the `detail` of a MeterError: its value is what a caller sent. */
function described(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { message: String(error) };
  const cause = error.cause === undefined ? {} : { cause: described(error.cause) };
  if (error instanceof MeterError) return { code: error.code, message: error.message, ...cause };
  return { type: error.name, message: error.message, stack: error.stack, ...cause };
}

/** Lines are written at once: a process that is killed has said all that it knew. */
export const openLog = ({ level, stream }: LogOptions): Logger =>
  pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: described },
    },
    stream ?? destination({ fd: STDERR, sync: true }),
  );
