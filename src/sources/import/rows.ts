/** Rows of a file, streamed: CSV with a header, or one JSON object a line; gzip by its first bytes. */
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { parse } from 'csv-parse';
import { parseJson } from '../../domain/json.ts';
import { MeterError } from '../../errors.ts';

export interface Row {
  /** From 1, without the header. */
  readonly row: number;
  /** Line of the file on which it ends, from 1. */
  readonly line: number;
  /** Undefined where the row cannot be read. */
  readonly values: Readonly<Record<string, unknown>> | undefined;
  readonly fault?: string;
}

const bad = (path: string, what: string, cause?: unknown): MeterError =>
  new MeterError('BAD_INPUT_FILE', `read ${path}: ${what}`, { cause });

async function firstBytes(path: string): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

export interface RowFile {
  readonly bytes: number;
  readonly read: () => number;
  readonly rows: AsyncIterable<Row>;
}

/** Throws BAD_INPUT_FILE. `demand` is told the header's columns before the first row. */
export async function openRows(path: string, demand: (columns: readonly string[]) => void): Promise<RowFile> {
  let bytes: number;
  let isGzip: boolean;
  try {
    bytes = (await stat(path)).size;
    isGzip = (await firstBytes(path)).equals(Buffer.from([0x1f, 0x8b]));
  } catch (cause) {
    throw bad(path, cause instanceof Error ? cause.message : String(cause), cause);
  }
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  // A failure is told by the destroyed stream to whoever reads it.
  const stream: Readable = isGzip ? pipeline(file, createGunzip(), () => undefined) : file;
  const isLines = /\.(ndjson|jsonl|json)(\.gz)?$/i.test(path);
  const rows = isLines ? jsonRows(path, stream) : csvRows(path, stream, demand);
  return { bytes, read: () => file.bytesRead, rows };
}

async function* csvRows(path: string, stream: Readable, demand: (columns: readonly string[]) => void): AsyncGenerator<Row> {
  let header: readonly string[] = [];
  const columns = (names: string[]): string[] => {
    header = names.map((name) => name.trim());
    return [...header];
  };
  const options = {
    bom: true,
    columns,
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    skip_records_with_error: false,
  } as const;
  const parser = pipeline(stream, parse(options), () => undefined);
  let row = 0;
  let known = false;
  try {
    for await (const entry of parser as AsyncIterable<{
      record: Record<string, string>;
      info: { lines: number; error?: Error };
    }>) {
      if (!known) demand(header);
      known = true;
      row += 1;
      const { record, info } = entry;
      const fault =
        Object.keys(record).length === header.length
          ? undefined
          : `the row has another number of columns than the header (${header.length})`;
      yield fault === undefined
        ? { row, line: info.lines, values: record }
        : { row, line: info.lines, values: undefined, fault };
    }
  } catch (cause) {
    if (cause instanceof MeterError) throw cause;
    throw bad(path, `${cause instanceof Error ? cause.message : String(cause)} (after row ${row})`, cause);
  }
  if (!known) demand(header);
}

function jsonRow(line: string, n: number): Row {
  try {
    const values = parseJson(Buffer.from(line));
    if (typeof values === 'object' && values !== null && !Array.isArray(values))
      return { row: n, line: n, values: values as Record<string, unknown> };
    return { row: n, line: n, values: undefined, fault: 'the line is no JSON object' };
  } catch (error) {
    return {
      row: n,
      line: n,
      values: undefined,
      fault: `the line is no JSON: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}

async function* jsonRows(path: string, stream: Readable): AsyncGenerator<Row> {
  let failed: Error | undefined;
  stream.on('error', (error) => (failed = error));
  const lines = createInterface({ input: stream, crlfDelay: Infinity });
  let n = 0;
  for await (const line of lines) {
    n += 1;
    if (line.trim() !== '') yield jsonRow(line.replace(/^\uFEFF/, ''), n);
  }
  if (failed !== undefined) throw bad(path, `${failed.message} (after line ${n})`, failed);
}
