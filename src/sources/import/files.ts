/** The files of an import: one, or all that a folder holds, in an order that every machine has. */
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { asBadFile, badFile, isKnownName } from './kind.ts';

export interface InputFile {
  readonly path: string;
  /** Relative to the folder, with forward slashes. */
  readonly name: string;
  readonly bytes: number;
  /** Ms. */
  readonly modified: number;
}

export interface Input {
  readonly isFolder: boolean;
  readonly files: readonly InputFile[];
}

async function fileOf(path: string, name: string): Promise<InputFile> {
  const { size, mtimeMs } = await stat(path);
  return { path, name, bytes: size, modified: Math.floor(mtimeMs) };
}

/** Names below a folder, without hidden files and folders. A link counts as what it leads to, folders excepted: they may be a circle. */
async function namesIn(folder: string, prefix: string): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await readdir(join(folder, prefix), { withFileTypes: true })) {
    const name = `${prefix}${entry.name}`;
    if (entry.isDirectory() && !entry.name.startsWith('.')) names.push(...(await namesIn(folder, `${name}/`)));
    if ((entry.isFile() || entry.isSymbolicLink()) && isKnownName(entry.name)) names.push(name);
  }
  return names;
}

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

async function filesIn(folder: string): Promise<readonly InputFile[]> {
  const files: InputFile[] = [];
  for (const name of (await namesIn(folder, '')).sort(byBytes)) {
    const path = join(folder, name);
    if ((await stat(path)).isFile()) files.push(await fileOf(path, name));
  }
  return files;
}

/** Throws BAD_INPUT_FILE where there is nothing to import. */
export async function inputOf(path: string): Promise<Input> {
  try {
    if (!(await stat(path)).isDirectory()) return { isFolder: false, files: [await fileOf(path, basename(path))] };
    const files = await filesIn(path);
    if (files.length > 0) return { isFolder: true, files };
  } catch (cause) {
    throw asBadFile(path, cause);
  }
  throw badFile(path, 'the folder holds no file of .csv, .ndjson, .jsonl, .json (also .gz), .avro or .parquet');
}
