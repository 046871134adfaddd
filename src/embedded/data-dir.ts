/** The data directory: what lies where, and which layout it has. */
import { link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MeterError } from '../errors.ts';

/** Raised when an older version could no longer read the directory. */
const LAYOUT = 1;

export interface DataDir {
  readonly databaseDir: string;
  readonly archiveDir: string;
}

export const isCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;

/** Creates the directory where there is none. Throws DATA_DIR_NEWER naming the file. The caller holds the lock. */
export async function openDataDir(dir: string): Promise<DataDir> {
  const path = join(dir, 'layout.json');
  const layout = await readLayout(path);
  if (layout === undefined) await writeLayout(path);
  else if (layout > LAYOUT) {
    throw new MeterError('DATA_DIR_NEWER', `open ${path}: it has layout ${layout}, this version knows ${LAYOUT}`, {
      allowed: 'start the version that wrote it, or a later one',
    });
  }
  return { databaseDir: join(dir, 'pg'), archiveDir: join(dir, 'archive') };
}

async function readLayout(path: string): Promise<number | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  const layout: unknown = /^\{"layout":(\d{1,6})\}\s*$/.exec(text)?.[1];
  if (typeof layout === 'string') return Number(layout);
  throw new MeterError('DATA_DIR_NEWER', `open ${path}: it does not say which layout the directory has`, {
    value: text.slice(0, 100),
  });
}

/** Linked into place: a start that dies here leaves no half file. */
async function writeLayout(path: string): Promise<void> {
  const temporary = `${path}.tmp`;
  await writeFile(temporary, `${JSON.stringify({ layout: LAYOUT })}\n`);
  await link(temporary, path);
  await unlink(temporary);
}

/** Makes the directory itself, before it can be locked. */
export const makeDataDir = async (dir: string): Promise<void> => void (await mkdir(dir, { recursive: true }));
