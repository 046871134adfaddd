/** Opaque cursors of lists: the key of the last row. */
import { MeterError } from '../../errors.ts';

export const writeCursor = (parts: readonly string[]): string => Buffer.from(JSON.stringify(parts)).toString('base64url');

/** Throws BAD_REQUEST. */
export function readCursor(cursor: string | undefined, length: number): string[] {
  if (cursor === undefined) return [];
  const refuse = (cause?: unknown): MeterError =>
    new MeterError('BAD_REQUEST', 'read the cursor: it is not one that a list has answered', {
      field: 'cursor',
      value: cursor,
      cause,
    });
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch (cause) {
    throw refuse(cause);
  }
  const isText = (part: unknown): part is string => typeof part === 'string' && !part.includes('\0');
  if (!Array.isArray(parts) || parts.length !== length || !parts.every(isText)) throw refuse();
  return parts;
}
