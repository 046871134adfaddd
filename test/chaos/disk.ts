/** A disk of one's own, in memory: it can be full. Only root may have one, on Linux. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, statfsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Disk {
  readonly path: string;
  /** No byte more. */
  fill(): void;
  /** As large as before. */
  free(): void;
  remove(): Promise<void>;
}

const SIZE = '6g';

const mount = (...args: readonly string[]): void => void execFileSync('mount', args, { stdio: 'pipe' });

/** Undefined where this machine allows none. */
export function ownDisk(): Disk | undefined {
  const path = mkdtempSync(join(tmpdir(), 'meterfold-disk-'));
  try {
    mount('-t', 'tmpfs', '-o', `size=${SIZE}`, 'tmpfs', path);
  } catch {
    return undefined;
  }
  // PostgreSQL has a user of its own.
  chmodSync(path, 0o755);
  return {
    path,
    fill: () => {
      const { bsize, blocks, bfree } = statfsSync(path);
      mount('-o', `remount,size=${bsize * (blocks - bfree)}`, path);
    },
    free: () => mount('-o', `remount,size=${SIZE}`, path),
    remove: async () => {
      execFileSync('umount', [path], { stdio: 'pipe' });
      await rm(path, { recursive: true });
    },
  };
}
