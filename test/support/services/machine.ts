/** What this machine has, and how what it lacks gets into the cache: whole, in one step, because two suites may want it at once. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import type { Service } from './ways.ts';

/** MF_CACHE: where programs that were fetched stay. */
export const cache = process.env.MF_CACHE ?? join(homedir(), '.cache', 'meterfold');

/** Where the machine keeps a program: on PATH, or in places that are not. */
export const programAt = (name: string, places: readonly string[] = []): string | undefined =>
  [...places, ...(process.env.PATH ?? '').split(delimiter)]
    .map((place) => join(place, name))
    .find((path) => existsSync(path));

/** What a program prints, or undefined where there is none or it fails. */
export function said(program: string, args: readonly string[]): string | undefined {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  } catch {
    return undefined;
  }
}

/** Makes `place` by what `make` puts at the path it is given, beside it; who comes second keeps what the first one made. */
export function madeOnce(place: string, make: (path: string, folder: string) => void): void {
  mkdirSync(dirname(place), { recursive: true });
  const folder = mkdtempSync(join(dirname(place), 'making-'));
  try {
    make(join(folder, 'made'), folder);
    renameSync(join(folder, 'made'), place);
  } catch (error) {
    if (!existsSync(place)) throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Programs of the machine's package manager, which needs its administrator. */
export function aptInstall(...names: readonly string[]): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = ['-o', 'DPkg::Lock::Timeout=300', '-y', '--no-install-recommends', 'install', ...names];
  execFileSync('apt-get', ['update'], { env, stdio: 'pipe' });
  execFileSync('apt-get', apt, { env, stdio: 'pipe' });
}

/** A tool of the machine, by its package manager. `version` makes it say which one it is. */
export const machineTool = (
  name: string,
  { at, packaged = name, version }: { readonly at?: string; readonly packaged?: string; readonly version: string },
): Service => ({
  name,
  program: () => {
    const path = at ?? programAt(name);
    if (path === undefined) return undefined;
    // Which stream it says it on differs from version to version.
    const found = /[0-9]+(?:\.[0-9]+)+/.exec(said('sh', ['-c', `"$0" ${version} 2>&1`, path]) ?? '')?.[0];
    return found === undefined ? undefined : { path, version: found };
  },
  fetch: () => {
    aptInstall(packaged);
  },
  wayOut: `install ${packaged}, or set MF_SERVICES=fetch`,
});
