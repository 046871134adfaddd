/** S3: versitygw, which honours `If-None-Match: *`, and the ways to one. */
import { execFileSync } from 'node:child_process';
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { startContainer, type Contained } from './docker.ts';
import { cache, madeOnce, programAt } from './machine.ts';
import type { Service } from './ways.ts';

const VERSION = '1.8.0';
const PORT = 7070;
export const S3_REGION = 'us-east-1';
export const S3_OWNER = { accessKeyId: 'meterfold-owner', secretAccessKey: 'secret-of-the-owner' } as const;

const built = join(cache, 'bin', `versitygw-${VERSION}`);

function fetchProgram(): void {
  madeOnce(built, (path, folder) => {
    const env = { ...process.env, GOBIN: folder, GOFLAGS: '-buildvcs=false -trimpath', CGO_ENABLED: '0' };
    const install = ['install', '-ldflags', '-s -w', `github.com/versity/versitygw/cmd/versitygw@v${VERSION}`];
    execFileSync('nice', ['-n', '15', 'go', ...install], { env, stdio: 'pipe' });
    renameSync(join(folder, 'versitygw'), path);
  });
}

export const s3: Service = {
  name: 'versitygw',
  given: 'METERFOLD_TEST_S3_ENDPOINT',
  image: process.env.MF_S3_IMAGE ?? `versity/versitygw:v${VERSION}`,
  program: () => {
    if (existsSync(built)) return { path: built, version: VERSION };
    const path = programAt('versitygw');
    if (path === undefined) return undefined;
    return { path, version: 'of this machine' };
  },
  fetch: fetchProgram,
  wayOut: 'set METERFOLD_TEST_S3_ENDPOINT, start Docker, or install Go and set MF_SERVICES=fetch',
};

/** Arguments that are the same wherever it runs: unknown keys get 403 only with a folder for users. */
export const s3Arguments = (listen: string, users: string, buckets: string): string[] => {
  const owner = ['--access', S3_OWNER.accessKeyId, '--secret', S3_OWNER.secretAccessKey, '--region', S3_REGION];
  return ['--port', listen, ...owner, '--keep-alive', '--quiet', '--iam-dir', users, 'posix', buckets];
};

/** Users and buckets lie in the container, until it goes. */
export async function containS3(image: string, hostPort?: number): Promise<Contained> {
  const [users, buckets] = ['/var/lib/s3/users', '/var/lib/s3/buckets'];
  return startContainer({
    image,
    port: PORT,
    hostPort,
    command: s3Arguments(`:${PORT}`, users, buckets),
    folders: [users, buckets],
  });
}
