/** Helm: METERFOLD_TEST_HELM, else from the cache, built there by Go. */
import { execFileSync } from 'node:child_process';
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { cache, madeOnce } from './machine.ts';
import type { Service } from './ways.ts';

const VERSION = '3.22.0';
/** The cluster that templates are rendered for: a helm that is not told believes in a very old one. */
const [MAJOR, MINOR] = ['1', '36'];

const own = process.env.METERFOLD_TEST_HELM ?? '';
const place = own === '' ? join(cache, 'bin', `helm-${VERSION}`) : own;

const set = (path: string, value: string): string => `-X helm.sh/helm/v3/${path}=${value}`;

export const helm: Service = {
  name: 'Helm',
  program: () => (existsSync(place) ? { path: place, version: own === '' ? VERSION : own } : undefined),
  fetch: () => {
    madeOnce(place, (path, folder) => {
      const env = { ...process.env, GOBIN: folder, GOFLAGS: '-buildvcs=false -trimpath', CGO_ENABLED: '0' };
      const of = ['pkg/chartutil', 'pkg/lint/rules'].flatMap((part) => [
        set(`${part}.k8sVersionMajor`, MAJOR),
        set(`${part}.k8sVersionMinor`, MINOR),
      ]);
      const flags = ['-s -w', set('internal/version.version', `v${VERSION}`), ...of].join(' ');
      const install = ['install', '-ldflags', flags, `helm.sh/helm/v3/cmd/helm@v${VERSION}`];
      execFileSync('nice', ['-n', '15', 'go', ...install], { env, stdio: 'pipe' });
      renameSync(join(folder, 'helm'), path);
    });
  },
  wayOut: 'set METERFOLD_TEST_HELM, or install Go and set MF_SERVICES=fetch',
};
