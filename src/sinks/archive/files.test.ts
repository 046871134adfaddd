import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { archiveConformance } from '../../conformance/archive.ts';
import { fileArchive, sweepTemporaries } from './files.ts';

const directory = (): Promise<string> => mkdtemp(join(tmpdir(), 'meterfold-archive-'));

archiveConformance('file', async () => {
  const root = await directory();
  return { archive: fileArchive(root), close: () => rm(root, { recursive: true, force: true }) };
});

describe('the file archive', () => {
  test('a half-written file of a writer that died is never seen, and is swept', async () => {
    const root = await directory();
    await mkdir(join(root, 'segments'));
    await writeFile(join(root, 'segments', '.tmp-dead'), 'half');
    const keys = [];
    for await (const key of fileArchive(root).list('')) keys.push(key);
    expect(keys).toEqual([]);
    await sweepTemporaries(root);
    await expect(chmod(join(root, 'segments', '.tmp-dead'), 0o600)).rejects.toThrow('ENOENT');
    await sweepTemporaries(join(root, 'missing'));
    await rm(root, { recursive: true });
  });

  test('a directory that cannot be written to is a failure that passes', async () => {
    const root = await directory();
    await writeFile(join(root, 'segments'), 'a file where a directory should be');
    await expect(fileArchive(root).put('segments/x', new Uint8Array())).rejects.toMatchObject({
      code: 'ARCHIVE_UNAVAILABLE',
    });
    await expect(fileArchive(root).get('segments/x')).rejects.toMatchObject({ code: 'ARCHIVE_UNAVAILABLE' });
    await rm(root, { recursive: true });
  });
});
