/**
 * An S3 for the suites: METERFOLD_TEST_S3_ENDPOINT with the credentials of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, else
 * versitygw from the cache (MF_CACHE, else ~/.cache/meterfold), built there by Go where CI=true or MF_SERVICES=fetch.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, PutBucketPolicyCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe } from 'vitest';
import { freePort } from './free-port.ts';
import { mayFetch, missing, report } from './services.ts';

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}
export interface S3Access {
  readonly endpoint: string;
  readonly region: string;
  readonly pathStyle: true;
  readonly credentials: Credentials;
}
export interface S3Server {
  /** Of its owner, who may do anything. */
  readonly access: S3Access;
  /** For what only tests ask: policies, objects of others. */
  readonly client: S3Client;
  /** A bucket of one's own. */
  bucket(): Promise<string>;
  /** Another user, who may do in the bucket what the statements say. Undefined where the server is not ours. */
  readonly user: ((bucket: string, statements: readonly object[]) => Promise<S3Access>) | undefined;
  stop(): Promise<void>;
}

const VERSION = '1.8.0';
const REGION = 'us-east-1';
const OWNER: Credentials = { accessKeyId: 'meterfold-owner', secretAccessKey: 'secret-of-the-owner' };

const given = process.env.METERFOLD_TEST_S3_ENDPOINT ?? '';
const cache = process.env.MF_CACHE ?? join(homedir(), '.cache', 'meterfold');
const program = join(cache, 'bin', `versitygw-${VERSION}`);

/** Built beside its place and moved there: two suites may want it at once. */
function fetchProgram(): boolean {
  if (!mayFetch) return false;
  mkdirSync(join(cache, 'bin'), { recursive: true });
  const folder = mkdtempSync(join(cache, 'bin', 'building-'));
  const env = { ...process.env, GOBIN: folder, GOFLAGS: '-buildvcs=false -trimpath', CGO_ENABLED: '0' };
  const install = ['install', '-ldflags', '-s -w', `github.com/versity/versitygw/cmd/versitygw@v${VERSION}`];
  execFileSync('nice', ['-n', '15', 'go', ...install], { env, stdio: 'pipe' });
  renameSync(join(folder, 'versitygw'), program);
  rmSync(folder, { recursive: true });
  return true;
}

function serverName(): string | undefined {
  if (given !== '') return `S3 at ${new URL(given).host}`;
  return existsSync(program) || fetchProgram() ? `versitygw ${VERSION}` : undefined;
}

const clientOf = ({ pathStyle, ...access }: S3Access): S3Client => new S3Client({ ...access, forcePathStyle: pathStyle });

async function answers(endpoint: string): Promise<boolean> {
  try {
    await fetch(endpoint);
    return true;
  } catch {
    return false;
  }
}

const DEADLINE_MS = 20_000;

async function run(port: number, directory: string): Promise<ChildProcess> {
  const [iam, buckets] = [join(directory, 'iam'), join(directory, 'buckets')];
  for (const path of [iam, buckets]) mkdirSync(path);
  const owner = ['--access', OWNER.accessKeyId, '--secret', OWNER.secretAccessKey, '--region', REGION];
  const args = ['--port', `127.0.0.1:${port}`, ...owner, '--keep-alive', '--quiet', '--iam-dir', iam, 'posix', buckets];
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (text: Buffer) => (said = (said + text.toString()).slice(-4000)));
  const until = performance.now() + DEADLINE_MS;
  while (child.exitCode === null && performance.now() < until) {
    if (await answers(`http://127.0.0.1:${port}`)) return child;
  }
  child.kill('SIGKILL');
  throw new Error(`versitygw did not answer in ${DEADLINE_MS} ms:\n${said}`);
}

async function bucketOf(client: S3Client): Promise<string> {
  const Bucket = `meterfold-test-${randomUUID()}`;
  await client.send(new CreateBucketCommand({ Bucket }));
  return Bucket;
}

export const canStartS3 = (): boolean => existsSync(program) || fetchProgram();

/** A server of one's own, whose program is in the cache or may be built. */
export async function startS3(): Promise<S3Server> {
  if (!canStartS3()) throw new Error('start S3: no versitygw on this machine');
  const directory = mkdtempSync(join(tmpdir(), 'meterfold-s3-'));
  const port = await freePort();
  const child = await run(port, directory);
  const endpoint = `http://127.0.0.1:${port}`;
  const access: S3Access = { endpoint, region: REGION, pathStyle: true, credentials: OWNER };
  const client = clientOf(access);
  return {
    access,
    client,
    bucket: () => bucketOf(client),
    user: async (bucket, statements) => {
      const credentials = { accessKeyId: `user-${randomUUID()}`, secretAccessKey: randomUUID() };
      const owner = ['--access', OWNER.accessKeyId, '--secret', OWNER.secretAccessKey, '--endpoint-url', endpoint];
      const user = ['--access', credentials.accessKeyId, '--secret', credentials.secretAccessKey, '--role', 'user'];
      execFileSync(program, ['admin', ...owner, 'create-user', ...user], { stdio: 'pipe' });
      const Statement = statements.map((statement) => ({ ...statement, Principal: credentials.accessKeyId }));
      const Policy = JSON.stringify({ Version: '2012-10-17', Statement });
      await client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }));
      return { ...access, credentials };
    },
    stop: async () => {
      client.destroy();
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** A server that is not ours: its buckets stay, empty them by a lifecycle rule. */
async function givenServer(): Promise<S3Server> {
  const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '', AWS_REGION = REGION } = process.env;
  const credentials = { accessKeyId: AWS_ACCESS_KEY_ID, secretAccessKey: AWS_SECRET_ACCESS_KEY };
  const access: S3Access = { endpoint: given, region: AWS_REGION, pathStyle: true, credentials };
  const client = clientOf(access);
  const stop = async (): Promise<void> => {
    client.destroy();
  };
  return { access, client, bucket: () => bucketOf(client), user: undefined, stop };
}

/** Whether `user` is there: users of a server that is not ours are its owner's to make. */
export const hasUsers = given === '';

/** The suite over an S3. In CI a missing one is a failing test; elsewhere it is reported as missing. */
export function describeS3(title: string, suite: (server: () => S3Server) => void): void {
  const name = serverName();
  if (name === undefined) {
    missing(title, 'S3', 'set METERFOLD_TEST_S3_ENDPOINT, or install Go');
    return;
  }
  describe(`${title} on ${name}`, () => {
    let server: S3Server | undefined;
    beforeAll(async () => {
      server = await (given === '' ? startS3() : givenServer());
    });
    afterAll(async () => {
      await server?.stop();
      report(title, name, 'ran');
    });
    suite(() => server!);
  });
}
