/** Positions of logs that count from zero, PostgreSQL and Kafka, and their control records. */
import { type Control, END, type Position } from '../contract.ts';
import { MeterError } from '../errors.ts';

/** Offsets of 20 digits: string order is numeric order. */
const POSITION = /^\d{20}$/;

export const positionOf = (offset: number): Position => String(offset).padStart(20, '0');

/** Throws LOG_REPLACED for a position of another log, and for `END`. */
export function offsetOf(position: Position): number {
  const offset = POSITION.test(position) ? Number(position) : Number.NaN;
  if (!Number.isSafeInteger(offset)) throw new MeterError('LOG_REPLACED', `read the log: ${position} is no position of it`);
  return offset;
}

/** How many places lie between; for logs whose positions count up by one. */
export const placesBetween = (from: Position, to: Position): number => offsetOf(to) - offsetOf(from);

export const isEnd = (position: Position): boolean => position === END;

export const encodeControl = (control: Control): Uint8Array => Buffer.from(JSON.stringify(control));

/** Throws DATA_DIR_NEWER for one that this version does not know: to skip it would move segment boundaries. */
export function decodeControl(bytes: Uint8Array, where: string): Control {
  const text = Buffer.from(bytes).toString();
  const format = /^\{"type":"format","format":(\d{1,9})\}$/.exec(text)?.[1];
  if (format !== undefined) return { type: 'format', format: Number(format) };
  const rules = /^\{"type":"rules","rules":(\d{1,9})\}$/.exec(text)?.[1];
  if (rules !== undefined) return { type: 'rules', rules: Number(rules) };
  if (text === '{"type":"tick"}') return { type: 'tick' };
  if (text === '{"type":"close"}') return { type: 'close' };
  throw new MeterError(
    'DATA_DIR_NEWER',
    `read ${where}: this version does not know the control record ${text.slice(0, 100)}`,
    {
      allowed: 'start the version that wrote it, or a later one',
    },
  );
}
