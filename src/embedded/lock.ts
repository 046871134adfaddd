/**
 * One process a data directory. Locks are files `lock.N`, made by a link that only one process can make; the highest is
 * the holder. A dead holder is overtaken by making the next number, so no file is ever removed under a living one.
 */
import { link, readdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { MeterError } from '../errors.ts';

interface Holder {
  readonly pid: number;
  /** Clock ticks after boot at which the process started, where the system tells: a pid can be used again. */
  readonly started: string | null;
  readonly boot: string | null;
  readonly role: string;
}

const readOptional = (path: string): Promise<string | null> => readFile(path, 'utf8').catch(() => null);

/** State and start (fields 3 and 22 of /proc/PID/stat, proc(5)); the name before them may hold spaces. A zombie holds nothing. */
async function startOf(pid: number): Promise<string | null> {
  const stat = await readOptional(`/proc/${String(pid)}/stat`);
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
  return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null);
}
const bootId = async (): Promise<string | null> => (await readOptional('/proc/sys/kernel/random/boot_id'))?.trim() ?? null;

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // EPERM: it is there, and somebody else's.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

async function isAlive({ pid, started, boot }: Holder): Promise<boolean> {
  if (boot !== null && boot !== (await bootId())) return false;
  if (!exists(pid)) return false;
  return started === null || started === (await startOf(pid));
}

const numberOf = (name: string): number => Number(/^lock\.(\d+)$/.exec(name)?.[1] ?? 0);

async function locksIn(dir: string): Promise<number[]> {
  const names = await readdir(dir);
  return names
    .map(numberOf)
    .filter((n) => n > 0)
    .sort((a, b) => a - b);
}

async function holderOf(dir: string, n: number): Promise<Holder | undefined> {
  const text = await readOptional(join(dir, `lock.${String(n)}`));
  return text === null ? undefined : (JSON.parse(text) as Holder);
}

async function livingLock(dir: string, but = 0): Promise<Holder | undefined> {
  for (const n of await locksIn(dir)) {
    const holder = n === but ? undefined : await holderOf(dir, n);
    if (holder !== undefined && (await isAlive(holder))) return holder;
  }
  return undefined;
}

const locked = (dir: string, { pid, role }: Holder): MeterError =>
  new MeterError('DATA_DIR_LOCKED', `open ${dir}: process ${pid} (${role}) holds it`, {
    allowed: 'stop that process, or ask it with --url',
  });

export interface DirectoryLock {
  release(): Promise<void>;
}

/** Throws DATA_DIR_LOCKED. A holder that died, however, is overtaken at once. */
export async function lockDirectory(dir: string, role: string): Promise<DirectoryLock> {
  const me: Holder = { pid: process.pid, started: await startOf(process.pid), boot: await bootId(), role };
  const temporary = join(dir, `.lock-${randomUUID()}`);
  await writeFile(temporary, JSON.stringify(me));
  try {
    return await take(dir, temporary);
  } finally {
    await unlink(temporary);
  }
}

async function take(dir: string, temporary: string): Promise<DirectoryLock> {
  for (;;) {
    const living = await livingLock(dir);
    if (living !== undefined) throw locked(dir, living);
    const n = ((await locksIn(dir)).at(-1) ?? 0) + 1;
    const path = join(dir, `lock.${String(n)}`);
    try {
      await link(temporary, path);
    } catch (error) {
      // Another process overtook at the same moment: look again.
      if (error instanceof Error && 'code' in error && error.code === 'EEXIST') continue;
      throw error;
    }
    return settle(dir, n, path);
  }
}

/** Another one may have taken a lower number meanwhile: then neither is sure, and this one gives way. */
async function settle(dir: string, n: number, path: string): Promise<DirectoryLock> {
  const other = await livingLock(dir, n);
  if (other !== undefined) {
    await unlink(path);
    throw locked(dir, other);
  }
  for (const old of await locksIn(dir)) if (old < n) await unlink(join(dir, `lock.${String(old)}`));
  return { release: () => unlink(path) };
}
