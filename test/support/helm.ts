/**
 * Helm for the suites: METERFOLD_TEST_HELM, else from the cache (MF_CACHE, else ~/.cache/meterfold), built there by Go where
 * CI=true or MF_SERVICES=fetch.
 */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { mayFetch, missing, report } from './services.ts';

const VERSION = '3.22.0';
/** The cluster that templates are rendered for: a helm that is not told believes in a very old one. */
const [MAJOR, MINOR] = ['1', '36'];

const given = process.env.METERFOLD_TEST_HELM ?? '';
const cache = process.env.MF_CACHE ?? join(homedir(), '.cache', 'meterfold');
const program = given === '' ? join(cache, 'bin', `helm-${VERSION}`) : given;
export const CHART = fileURLToPath(new URL('../../deploy/helm/meterfold', import.meta.url));

/** Built beside its place and moved there: two suites may want it at once. */
function fetchProgram(): boolean {
  if (!mayFetch) return false;
  mkdirSync(join(cache, 'bin'), { recursive: true });
  const folder = mkdtempSync(join(cache, 'bin', 'building-'));
  const env = { ...process.env, GOBIN: folder, GOFLAGS: '-buildvcs=false -trimpath', CGO_ENABLED: '0' };
  const set = (path: string, value: string): string => `-X helm.sh/helm/v3/${path}=${value}`;
  const of = ['pkg/chartutil', 'pkg/lint/rules'].flatMap((path) => [
    set(`${path}.k8sVersionMajor`, MAJOR),
    set(`${path}.k8sVersionMinor`, MINOR),
  ]);
  const flags = ['-s -w', set('internal/version.version', `v${VERSION}`), ...of].join(' ');
  execFileSync('nice', ['-n', '15', 'go', 'install', '-ldflags', flags, `helm.sh/helm/v3/cmd/helm@v${VERSION}`], {
    env,
    stdio: 'pipe',
  });
  renameSync(join(folder, 'helm'), program);
  rmSync(folder, { recursive: true });
  return true;
}

const run = promisify(execFile);

/** What helm says on stdout; throws with what it says on stderr. */
export async function helm(...args: readonly string[]): Promise<string> {
  // It writes into HOME even where nothing is to be kept.
  const env = { PATH: process.env.PATH, HOME: tmpdir() };
  const { stdout } = await run(program, args, { env, maxBuffer: 16 * 1024 * 1024 });
  return stdout;
}

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
}

/** The objects of a release. */
export async function rendered(...args: readonly string[]): Promise<KubernetesObject[]> {
  const text = await helm('template', 'release', CHART, ...args);
  return parseAllDocuments(text).flatMap((document) => {
    const object = document.toJS() as KubernetesObject | null;
    return object === null ? [] : [object];
  });
}

/** The suite, where there is a helm. In CI a missing one is a failing test; elsewhere it is reported as missing. */
export function describeHelm(title: string, suite: () => void): void {
  if (!existsSync(program) && !fetchProgram()) {
    missing(title, 'Helm', 'set METERFOLD_TEST_HELM, or install Go');
    return;
  }
  describe(title, () => {
    afterAll(() => report(title, `Helm ${given === '' ? VERSION : given}`, 'ran'));
    suite();
  });
}
