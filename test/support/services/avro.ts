/** A Python that reads Avro, in an environment of the cache: what we write must be read by a program that shares nothing with us. */
import { execFileSync } from 'node:child_process';
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { cache, madeOnce } from './machine.ts';
import type { Service } from './ways.ts';

const VERSION = '1.13.1';
const PACKAGES = [`fastavro==${VERSION}`, 'cramjam==2.14.0', 'backports.zstd==1.8.0'];

const place = join(cache, `python-fastavro-${VERSION}-zstd`);
const python = join(place, 'bin', 'python');

/** It may be moved: `python` finds its packages beside itself, only scripts such as `pip` hold the old path. */
function make(): void {
  madeOnce(place, (path, folder) => {
    const env = join(folder, 'env');
    execFileSync('python3', ['-m', 'venv', env], { stdio: 'pipe' });
    execFileSync(join(env, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', ...PACKAGES], { stdio: 'pipe' });
    renameSync(env, path);
  });
}

export const avro: Service = {
  name: 'fastavro',
  program: () => (existsSync(python) ? { path: python, version: VERSION } : undefined),
  fetch: make,
  wayOut: 'install Python and set MF_SERVICES=fetch',
};
