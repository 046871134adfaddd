/**
 * A Python that reads Avro: fastavro in an environment of the cache (MF_CACHE, else ~/.cache/meterfold), made there where
 * CI=true or MF_SERVICES=fetch. In CI a missing one fails.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { mayFetch } from './services.ts';

const PACKAGES = ['fastavro==1.13.1', 'cramjam==2.14.0', 'backports.zstd==1.8.0'];
export const FASTAVRO = 'fastavro 1.13.1';

const cache = process.env.MF_CACHE ?? join(homedir(), '.cache', 'meterfold');
const place = join(cache, 'python-fastavro-1.13.1-zstd');
const program = join(place, 'bin', 'python');

/** Into a folder of packages only, which may be moved: two suites may want it at once. */
function make(): void {
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'python-'));
  execFileSync('python3', ['-m', 'venv', join(folder, 'env')], { stdio: 'pipe' });
  const python = join(folder, 'env', 'bin', 'python');
  execFileSync(python, ['-m', 'pip', 'install', '--quiet', ...PACKAGES], { stdio: 'pipe' });
  // `python` finds its packages beside itself, wherever that is; only scripts such as `pip` hold the old path.
  if (!existsSync(place)) renameSync(join(folder, 'env'), place);
  rmSync(folder, { recursive: true, force: true });
}

/** Undefined where there is none and none may be made. */
export function pythonWithAvro(): string | undefined {
  if (!existsSync(program) && mayFetch) make();
  return existsSync(program) ? program : undefined;
}
