/** The archive in a directory: written once, by a link that only one writer can make. */
import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Archive } from '../../contract.ts';
import { MeterError } from '../../errors.ts';
import { demandKey, TEMPORARY } from './keys.ts';

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '');

function failure(what: string, error: unknown): MeterError {
  const code = codeOf(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new MeterError('ARCHIVE_FULL', `${what}: no space left`, {
      cause: error,
      allowed: 'free space; nothing is lost meanwhile',
    });
  }
  return new MeterError('ARCHIVE_UNAVAILABLE', `${what}: ${code}`, { cause: error });
}

/** A directory entry is durable only once its directory is. */
async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function putNew(root: string, key: string, bytes: Uint8Array): Promise<'stored' | 'exists'> {
  const path = join(root, key);
  const directory = dirname(path);
  await mkdir(directory, { recursive: true });
  const temporary = join(directory, `${TEMPORARY}${randomUUID()}`);
  try {
    await writeDurably(temporary, bytes);
    await link(temporary, path);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return 'exists';
    throw error;
  } finally {
    await unlink(temporary).catch((error: unknown) => {
      if (codeOf(error) !== 'ENOENT') throw error;
    });
  }
  await sync(directory);
  return 'stored';
}

async function* walk(root: string, directory: string): AsyncGenerator<string> {
  let entries;
  try {
    entries = await readdir(join(root, directory), { withFileTypes: true });
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw failure(`list ${directory}`, error);
  }
  // Byte order of whole keys: a directory sorts by its name with the slash that follows it.
  const named = entries.map((entry) => ({ entry, name: entry.isDirectory() ? `${entry.name}/` : entry.name }));
  for (const { entry, name } of named.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.isDirectory()) yield* walk(root, `${directory}${name}`);
    else if (!name.startsWith(TEMPORARY)) yield `${directory}${name}`;
  }
}

async function sweep(directory: string): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true });
  for (const entry of entries) if (entry.name.startsWith(TEMPORARY)) await unlink(join(entry.parentPath, entry.name));
}

/** Removes what writers that died left behind. For a directory that no other process writes to. */
export async function sweepTemporaries(root: string): Promise<void> {
  try {
    await sweep(root);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw failure(`sweep ${root}`, error);
  }
}

export function fileArchive(root: string): Archive {
  return {
    name: 'file',
    put: async (key, bytes) => {
      demandKey(key);
      try {
        return await putNew(root, key, bytes);
      } catch (error) {
        throw failure(`write ${join(root, key)}`, error);
      }
    },
    get: async (key) => {
      demandKey(key);
      const path = join(root, key);
      try {
        return await readFile(path);
      } catch (error) {
        if (codeOf(error) === 'ENOENT')
          throw new MeterError('ARCHIVE_MISSING', `read ${path}: there is no such file`, { cause: error });
        throw failure(`read ${path}`, error);
      }
    },
    list: async function* (prefix) {
      for await (const key of walk(root, '')) if (key.startsWith(prefix)) yield key;
    },
  };
}
