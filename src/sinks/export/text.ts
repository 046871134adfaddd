/** Rows as CSV (RFC 4180) and as NDJSON. */
import type { Column, ColumnKind, ExportRow } from './tables.ts';

/**
 * What a spreadsheet may take for a formula gets an apostrophe in front; so does what begins with one, so that taking one away
 * gives back every text.
 */
export const guarded = (text: string): string => (/^[=+\-@\t\r\n']/.test(text) ? `'${text}` : text);

const quotedCell = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function cellText(kind: ColumnKind, value: unknown): string {
  if (value === null || value === undefined) return '';
  if (kind === 'json') return JSON.stringify(value);
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return kind === 'text' ? guarded(text) : text;
}

export const csvHeader = (columns: readonly Column[]): string => `${columns.map(({ name }) => name).join(',')}\n`;

export const csvLine = (columns: readonly Column[], row: ExportRow): string =>
  `${columns.map(({ name, kind }) => quotedCell(cellText(kind, row[name]))).join(',')}\n`;

export const jsonLine = (columns: readonly Column[], row: ExportRow): string =>
  `${JSON.stringify(Object.fromEntries(columns.map(({ name }) => [name, row[name] ?? null])))}\n`;
