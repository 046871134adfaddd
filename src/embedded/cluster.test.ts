import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from 'tar';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { layCluster } from './cluster.ts';

let dir: string;
let packed: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'meterfold-cluster-'));
  packed = join(dir, 'cluster.tar.gz');
  await mkdir(join(dir, 'from', 'base'), { recursive: true });
  await writeFile(join(dir, 'from', 'PG_VERSION'), '18\n');
  await writeFile(join(dir, 'from', 'base', '1'), 'a relation');
  await create({ gzip: true, file: packed, cwd: join(dir, 'from') }, ['PG_VERSION', 'base']);
});
afterEach(() => rm(dir, { recursive: true, force: true }));

test('lays the packed files where there are none', async () => {
  const to = join(dir, 'pg');
  expect(await layCluster(to, packed)).toBe(true);
  expect((await readdir(to)).sort()).toEqual(['PG_VERSION', 'base']);
  expect(await readFile(join(to, 'base', '1'), 'utf8')).toBe('a relation');
  expect(await readdir(dir)).not.toContain('pg.new');
});

test('takes an empty directory, and what a start left that died here', async () => {
  const to = join(dir, 'pg');
  await mkdir(to);
  await mkdir(`${to}.new`);
  await writeFile(join(`${to}.new`, 'half'), '');
  expect(await layCluster(to, packed)).toBe(true);
  expect((await readdir(to)).sort()).toEqual(['PG_VERSION', 'base']);
});

test('leaves a directory alone that holds anything', async () => {
  const to = join(dir, 'pg');
  await mkdir(to);
  await writeFile(join(to, 'PG_VERSION'), '17\n');
  expect(await layCluster(to, packed)).toBe(false);
  expect(await readdir(to)).toEqual(['PG_VERSION']);
  expect(await readFile(join(to, 'PG_VERSION'), 'utf8')).toBe('17\n');
});

test('leaves it to initdb where nothing is packed', async () => {
  expect(await layCluster(join(dir, 'pg'), join(dir, 'absent'))).toBe(false);
});

test('says which file is damaged, and leaves no database', async () => {
  await writeFile(packed, 'not an archive');
  await expect(layCluster(join(dir, 'pg'), packed)).rejects.toThrow(`unpack ${packed}`);
  expect(await readdir(dir)).not.toContain('pg');
});
