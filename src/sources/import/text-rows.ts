/** Rows of text: CSV with a header, or one JSON object a line; both also gzipped. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { parse } from 'csv-parse';
import { parseJson } from '../../domain/json.ts';
import { asError } from '../../errors.ts';
import { asBadFile, badFile, type FileKind, type TextKind } from './kind.ts';
import { demandColumns, type Row, type RowFile, type Wanted } from './row.ts';

export function textRows(path: string, kind: FileKind & { readonly format: TextKind }, wanted: Wanted): RowFile {
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  // A failure is told by the destroyed stream to whoever reads it.
  const stream: Readable = kind.isGzip ? pipeline(file, createGunzip(), () => undefined) : file;
  const rows = kind.format === 'json' ? jsonRows(path, stream) : csvRows(path, stream, wanted);
  return { bytes: kind.bytes, read: () => file.bytesRead, rows };
}

/** One apostrophe in front is what the export put there. */
const unguarded = (record: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(record).map(([name, cell]) => [name, cell.startsWith("'") ? cell.slice(1) : cell]));

interface CsvEntry {
  readonly record: Readonly<Record<string, string>>;
  readonly info: { readonly lines: number };
}

const CSV = {
  bom: true,
  info: true,
  relax_column_count: true,
  skip_empty_lines: true,
  skip_records_with_error: false,
} as const;

async function* csvRows(path: string, stream: Readable, { columns, isGuarded }: Wanted): AsyncGenerator<Row> {
  let header: readonly string[] = [];
  const readHeader = (names: string[]): string[] => {
    header = names.map((name) => name.trim());
    return [...header];
  };
  const parser = pipeline(stream, parse({ ...CSV, columns: readHeader }), () => undefined);
  let row = 0;
  try {
    for await (const { record, info } of parser as AsyncIterable<CsvEntry>) {
      if (row === 0) demandColumns(path, columns, header);
      row += 1;
      const isWhole = Object.keys(record).length === header.length;
      const fault = `the row has another number of columns than the header (${header.length})`;
      yield isWhole
        ? { row, line: info.lines, values: isGuarded ? unguarded(record) : record }
        : { row, line: info.lines, values: undefined, fault };
    }
  } catch (cause) {
    throw asBadFile(path, cause, ` (after row ${row})`);
  }
  if (row === 0) demandColumns(path, columns, header);
}

function jsonRow(line: string, n: number): Row {
  try {
    const values = parseJson(Buffer.from(line));
    if (typeof values === 'object' && values !== null && !Array.isArray(values))
      return { row: n, line: n, values: values as Record<string, unknown> };
    return { row: n, line: n, values: undefined, fault: 'the line is no JSON object' };
  } catch (error) {
    return { row: n, line: n, values: undefined, fault: `the line is no JSON: ${asError(error).message}` };
  }
}

async function* jsonRows(path: string, stream: Readable): AsyncGenerator<Row> {
  let failed: Error | undefined;
  stream.on('error', (error) => (failed = error));
  const lines = createInterface({ input: stream, crlfDelay: Infinity });
  let n = 0;
  try {
    for await (const line of lines) {
      n += 1;
      if (line.trim() !== '') yield jsonRow(line.replace(/^\uFEFF/, ''), n);
    }
  } finally {
    stream.destroy();
  }
  if (failed !== undefined) throw badFile(path, `${failed.message} (after line ${n})`, failed);
}
