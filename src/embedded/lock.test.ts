import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openDataDir } from './data-dir.ts';
import { lockDirectory } from './lock.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'meterfold-lock-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const LIVING = { pid: process.pid, started: null, boot: null, role: 'other' };
const locks = async (): Promise<string[]> => (await readdir(dir)).filter((name) => name.startsWith('lock.'));

describe('the lock of a data directory', () => {
  test('is held by one, named to the next, and free again after its release', async () => {
    const lock = await lockDirectory(dir, 'dev');
    await expect(lockDirectory(dir, 'import')).rejects.toMatchObject({
      code: 'DATA_DIR_LOCKED',
      message: expect.stringContaining(`process ${String(process.pid)} (dev)`),
    });
    await lock.release();
    const again = await lockDirectory(dir, 'import');
    await again.release();
    expect(await locks()).toEqual([]);
  });

  test('of a process that was killed is overtaken at once', async () => {
    const child = spawn('sleep', ['60']);
    await writeFile(join(dir, 'lock.7'), JSON.stringify({ ...LIVING, pid: child.pid }));
    await expect(lockDirectory(dir, 'dev')).rejects.toMatchObject({ code: 'DATA_DIR_LOCKED' });
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    const lock = await lockDirectory(dir, 'dev');
    expect(await locks()).toEqual(['lock.8']);
    await lock.release();
  });

  test('of a pid that was used again, or of before the last boot, is no lock', async () => {
    await writeFile(join(dir, 'lock.1'), JSON.stringify({ ...LIVING, started: 'another start' }));
    await (await lockDirectory(dir, 'dev')).release();
    await writeFile(join(dir, 'lock.1'), JSON.stringify({ ...LIVING, boot: 'another boot' }));
    await (await lockDirectory(dir, 'dev')).release();
  });

  test('goes to at most one of many who try at once', async () => {
    for (let round = 0; round < 10; round += 1) {
      const tries = await Promise.allSettled(Array.from({ length: 10 }, () => lockDirectory(dir, 'dev')));
      const held = tries.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      expect(held.length).toBeLessThanOrEqual(1);
      for (const lock of held) await lock.release();
      for (const one of tries) if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'DATA_DIR_LOCKED' });
    }
  });
});

describe('a data directory', () => {
  test('of this layout is opened, again and again', async () => {
    const first = await openDataDir(dir);
    expect(await openDataDir(dir)).toEqual(first);
  });

  test('of a newer version, or of none that is known, is refused by the name of its file', async () => {
    for (const text of ['{"layout":2}\n', 'something else']) {
      await writeFile(join(dir, 'layout.json'), text);
      await expect(openDataDir(dir)).rejects.toMatchObject({
        code: 'DATA_DIR_NEWER',
        message: expect.stringContaining(join(dir, 'layout.json')),
      });
    }
  });
});
