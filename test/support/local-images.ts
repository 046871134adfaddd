/** Images made of this machine's own programs and what they are linked with: a registry of images is not always there. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { said } from './services/machine.ts';

export interface LocalImage {
  readonly name: string;
  /** Where programs of this machine lie in the image. */
  readonly programs: Readonly<Record<string, string>>;
  /** Lines of a Dockerfile. */
  readonly changes: readonly string[];
}

/** Those that the loader would look for. None for a program that brings everything. */
const librariesOf = (program: string): string[] => (said('ldd', [program]) ?? '').match(/\/\S+/g) ?? [];

export function makeImage({ name, programs, changes }: LocalImage, host: string): void {
  const root = mkdtempSync(join(tmpdir(), 'meterfold-image-'));
  try {
    const files = Object.entries(programs).flatMap(([from, to]) => [
      [from, to] as const,
      ...librariesOf(from).map((path) => [path, path] as const),
    ]);
    for (const [from, to] of files) {
      mkdirSync(dirname(join(root, to)), { recursive: true });
      cpSync(from, join(root, to), { dereference: true });
    }
    const archive = join(root, '..', `${name.replaceAll(/\W/g, '-')}.tar`);
    execFileSync('tar', ['-C', root, '-cf', archive, '.'], { stdio: 'pipe' });
    const lines = changes.flatMap((change) => ['--change', change]);
    execFileSync('docker', ['--host', host, 'import', ...lines, archive, name], { stdio: 'pipe' });
    rmSync(archive);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
