/** What commands print: JSON for programs, tables for people, one line on stderr for errors. */
import { MeterError } from '../errors.ts';

export interface Streams {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** The standard output for rows: as it is, and resolved when it has taken them. */
  readonly bytes: (text: string) => Promise<void>;
  readonly isTerminal: boolean;
}

/** Left-aligned text columns, right-aligned numbers. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], numeric: ReadonlySet<number>): string {
  const widths = head.map((title, n) => Math.max(title.length, ...rows.map((row) => row[n]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row.map((cell, n) => (numeric.has(n) ? cell.padStart(widths[n] ?? 0) : cell.padEnd(widths[n] ?? 0))).join('  ');
  return [line(head), widths.map((w) => '-'.repeat(w)).join('  '), ...rows.map(line)]
    .map((text) => text.trimEnd())
    .join('\n');
}

export const json = (value: unknown): string => JSON.stringify(value, undefined, 2);

/** One line: the code, what happened, and the way out where there is one. */
export function errorLine(error: unknown): string {
  if (!(error instanceof MeterError))
    return `meterfold: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  const { field, value, allowed } = error.detail;
  const parts = [
    error.message,
    field === undefined ? '' : `field ${field}`,
    value === undefined ? '' : `value ${JSON.stringify(value)}`,
    allowed === undefined ? '' : `allowed: ${allowed}`,
  ].filter((part) => part !== '');
  return `meterfold: ${error.code}: ${parts.join('; ')}`.replaceAll('\n', ' | ');
}

/** 0 done, 1 a check failed or the system is at fault, 2 the caller's input is. */
export const exitCodeOf = (error: unknown): number => (error instanceof MeterError && error.kind === 'invalid' ? 2 : 1);
