import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { inputOf } from './files.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'meterfold-files-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function make(...names: readonly string[]): Promise<void> {
  for (const name of names) {
    await mkdir(dirname(join(dir, name)), { recursive: true });
    await writeFile(join(dir, name), 'x');
  }
}
const namesOf = async (): Promise<readonly string[]> => (await inputOf(dir)).files.map(({ name }) => name);

test('a folder gives its files of known endings, in byte order of their relative paths', async () => {
  await make('b.csv', 'a/z.ndjson', 'a-b.parquet', 'Z.avro', 'a/day=1/p.jsonl.gz', 'é.json', 'z.CSV.GZ');
  expect(await namesOf()).toEqual([
    'Z.avro',
    'a-b.parquet',
    'a/day=1/p.jsonl.gz',
    'a/z.ndjson',
    'b.csv',
    'z.CSV.GZ',
    'é.json',
  ]);
});

test('hidden files and folders, other endings and what imports leave are not taken', async () => {
  await make(
    '.hidden.csv',
    '.git/a.csv',
    'notes.txt',
    'a.parquet.gz',
    'x.rejects.ndjson',
    'x.checkpoint.json',
    '_SUCCESS',
    'a.csv',
  );
  await symlink(dir, join(dir, 'circle'));
  await symlink(join(dir, 'a.csv'), join(dir, 'link.csv'));
  expect(await namesOf()).toEqual(['a.csv', 'link.csv']);
});

test('a folder without any, and what is not there, are refused', async () => {
  await make('notes.txt');
  await expect(inputOf(dir)).rejects.toMatchObject({
    code: 'BAD_INPUT_FILE',
    message: expect.stringContaining('holds no file'),
  });
  await expect(inputOf(join(dir, 'gone'))).rejects.toMatchObject({ code: 'BAD_INPUT_FILE' });
});

test('a file alone has its own name', async () => {
  await make('a/notes.txt');
  expect(await inputOf(join(dir, 'a/notes.txt'))).toMatchObject({
    isFolder: false,
    files: [{ name: 'notes.txt', bytes: 1 }],
  });
});
