/** Rows as every format gives them, and what is asked of a file. */
import { MeterError } from '../../errors.ts';

export interface Row {
  /** From 1, without the header. */
  readonly row: number;
  /** Line of the file on which it ends, from 1; undefined where the format has no lines. */
  readonly line?: number;
  /** Undefined where the row cannot be read. */
  readonly values: Readonly<Record<string, unknown>> | undefined;
  readonly fault?: string;
}

export interface RowFile {
  readonly bytes: number;
  /** Bytes read so far; an estimate where the format is not read from front to back. */
  readonly read: () => number;
  /** Throws BAD_INPUT_FILE, or BAD_MAPPING before the first row where a column is missing. */
  readonly rows: AsyncIterable<Row>;
}

/** What is asked of a file. */
export interface Wanted {
  /** Columns that the mapping names: formats that store columns read no other. */
  readonly columns: readonly string[];
  /** Whether CSV cells were guarded against being taken for formulas. */
  readonly isGuarded: boolean;
}

/** Throws BAD_MAPPING where a file with a header lacks a column. */
export function demandColumns(path: string, wanted: readonly string[], header: readonly string[]): void {
  const missing = wanted.filter((name) => !header.includes(name));
  if (missing.length === 0) return;
  throw new MeterError('BAD_MAPPING', `${path} has no column ${missing.join(', ')}`, {
    value: missing.join(', '),
    allowed: header.join(', '),
  });
}
