/** Writes an export: into a file that appears when it is whole, or to a stream. */
import { type FileHandle, mkdtemp, open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { asError, MeterError } from '../../errors.ts';
import { openParquet } from './parquet.ts';
import type { Column, ExportFormat, ExportRow } from './tables.ts';
import { csvHeader, csvLine, jsonLine } from './text.ts';

export interface RowWriter {
  write(rows: readonly ExportRow[]): Promise<void>;
  /** The rest is written; only then is the export there. */
  finish(): Promise<void>;
  /** Leaves nothing behind; also called behind `finish`. */
  close(): Promise<void>;
}

export type TextFormat = Exclude<ExportFormat, 'parquet'>;
type Send = (text: string) => Promise<void>;

export const badOutput = (path: string, what: string, cause?: unknown): MeterError =>
  new MeterError('BAD_OUTPUT', `write ${path}: ${what}`, {
    field: 'out',
    value: path,
    allowed: 'a file in a folder that can be written, or - for the standard output',
    cause,
  });

/** What writing threw, as BAD_OUTPUT; what is a MeterError already stays. */
async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw cause instanceof MeterError ? cause : badOutput(path, asError(cause).message, cause);
  }
}

/** Lines of one format, sent page by page; a header also where there are no rows. */
async function openText(
  format: TextFormat,
  columns: readonly Column[],
  send: Send,
): Promise<(rows: readonly ExportRow[]) => Promise<void>> {
  const line = format === 'csv' ? csvLine : jsonLine;
  if (format === 'csv') await send(csvHeader(columns));
  return async (rows) => {
    if (rows.length > 0) await send(rows.map((row) => line(columns, row)).join(''));
  };
}

/** Throws BAD_OUTPUT, here and at every call. */
export async function streamWriter(format: TextFormat, columns: readonly Column[], send: Send): Promise<RowWriter> {
  const done = (): Promise<void> => Promise.resolve();
  return writing('-', async () => {
    const write = await openText(format, columns, send);
    return { write: (rows) => writing('-', () => write(rows)), finish: done, close: done };
  });
}

/** Throws BAD_OUTPUT, here and at every call. */
export async function fileWriter(format: ExportFormat, columns: readonly Column[], path: string): Promise<RowWriter> {
  return writing(path, async () => {
    if ((await stat(path).catch(() => undefined))?.isDirectory() === true) throw badOutput(path, 'it is a folder');
    // Beside the file, so that the last step is a rename within one file system.
    const folder = await mkdtemp(`${path}.tmp-`);
    try {
      return await inFolder(format, columns, path, folder);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  });
}

/** A file in the making. */
export interface Making {
  write(rows: readonly ExportRow[]): Promise<void>;
  finish(): Promise<void>;
  close(): Promise<void>;
}

async function inFolder(format: ExportFormat, columns: readonly Column[], path: string, folder: string): Promise<RowWriter> {
  const made = join(folder, 'export');
  const making = format === 'parquet' ? await openParquet(columns, folder, made) : await openTextFile(format, columns, made);
  const finish = async (): Promise<void> => {
    await making.finish();
    await making.close();
    await rename(made, path);
  };
  return {
    write: (rows) => writing(path, () => making.write(rows)),
    finish: () => writing(path, finish),
    close: async () => {
      await making.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function openTextFile(format: TextFormat, columns: readonly Column[], path: string): Promise<Making> {
  const file: FileHandle = await open(path, 'wx');
  const write = await openText(format, columns, async (text) => {
    await file.appendFile(text);
  });
  return { write, finish: () => file.sync(), close: () => file.close() };
}
