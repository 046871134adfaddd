/** The loader of the Compose Specification, which validates what it reads as `docker compose config` does. */
import { execFileSync } from 'node:child_process';
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { cache, madeOnce } from './machine.ts';
import type { Service } from './ways.ts';

const VERSION = '2.16.2';
const built = join(cache, 'bin', `compose-go-${VERSION}`);

export const compose: Service = {
  name: 'compose-go',
  program: () => (existsSync(built) ? { path: built, version: VERSION } : undefined),
  fetch: () => {
    madeOnce(built, (path, folder) => {
      const env = { ...process.env, GOBIN: folder, GOFLAGS: '-buildvcs=false -trimpath', CGO_ENABLED: '0' };
      const install = ['install', '-ldflags', '-s -w', `github.com/compose-spec/compose-go/v2/cmd@v${VERSION}`];
      execFileSync('nice', ['-n', '15', 'go', ...install], { env, stdio: 'pipe' });
      renameSync(join(folder, 'cmd'), path);
    });
  },
  wayOut: 'install Go and set MF_SERVICES=fetch',
};
