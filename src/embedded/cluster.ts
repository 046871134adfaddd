/**
 * A prepared database: what `initdb` and the migrations make, packed once when Meterfold is built. Unpacking it takes a tenth
 * of what they take, and it is most of the first start. It holds nothing that tells one installation from another but for
 * PostgreSQL's own system identifier, which nothing here reads.
 */
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { asError } from '../errors.ts';
import { isCode } from './data-dir.ts';

/** Beside this module once it is built; absent where it runs from its sources. */
export const CLUSTER = fileURLToPath(new URL('./cluster.tar.gz', import.meta.url));

const unlessAbsent = async <T>(found: Promise<T>): Promise<T | undefined> =>
  found.catch((error: unknown) => {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  });

/**
 * Lays the packed database `from` into `dataDir`, where there is none yet and something is packed; else `initdb` has to do
 * it. Renamed into place when whole: a start that dies here leaves no half database. The caller holds the lock. Throws,
 * naming both, what the disk or a damaged file raises.
 */
export async function layCluster(dataDir: string, from = CLUSTER): Promise<boolean> {
  const there = (await unlessAbsent(readdir(dataDir))) ?? [];
  if (there.length > 0 || (await unlessAbsent(stat(from))) === undefined) return false;
  const { extract } = await import('tar');
  const half = `${dataDir}.new`;
  await rm(half, { recursive: true, force: true });
  await mkdir(half, { recursive: true });
  await extract({ file: from, cwd: half }).catch((cause: unknown) => {
    throw new Error(`unpack ${from} into ${half}: ${asError(cause).message}`, { cause });
  });
  await rm(dataDir, { recursive: true, force: true });
  await rename(half, dataDir);
  return true;
}
