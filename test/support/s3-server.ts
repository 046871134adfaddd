/** An S3 for the suites: a process of one's own, a container, or a server that is there. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, PutBucketPolicyCommand, S3Client } from '@aws-sdk/client-s3';
import { freePort } from './free-port.ts';
import { untilWithin } from './poll.ts';
import { containS3, S3_OWNER, S3_REGION, s3, s3Arguments } from './services/s3.ts';
import { type Found, ownProgram } from './services/ways.ts';

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
  /** Another user, who may do in the bucket what the statements say. Undefined where only its owner can make one. */
  readonly user: ((bucket: string, statements: readonly object[]) => Promise<S3Access>) | undefined;
  stop(): Promise<void>;
}

export const clientOf = ({ pathStyle, ...access }: S3Access): S3Client =>
  new S3Client({ ...access, forcePathStyle: pathStyle });

export async function answers(endpoint: string): Promise<boolean> {
  try {
    await fetch(endpoint);
    return true;
  } catch {
    return false;
  }
}

const DEADLINE_MS = 20_000;
const until = untilWithin(DEADLINE_MS);

async function run(program: string, port: number, directory: string): Promise<ChildProcess> {
  const [users, buckets] = [join(directory, 'users'), join(directory, 'buckets')];
  for (const path of [users, buckets]) mkdirSync(path);
  const args = s3Arguments(`127.0.0.1:${port}`, users, buckets);
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

/** One that answers at `endpoint`, whatever it runs as. */
function serverAt(access: S3Access, user: S3Server['user'], stop: () => Promise<void>): S3Server {
  const client = clientOf(access);
  return {
    access,
    client,
    bucket: () => bucketOf(client),
    user,
    stop: async () => {
      client.destroy();
      await stop();
    },
  };
}

/** Another user, made by the owner; the bucket's policy lets them do what the statements say. */
const userOf =
  (program: string, access: S3Access): NonNullable<S3Server['user']> =>
  async (bucket, statements) => {
    const credentials = { accessKeyId: `user-${randomUUID()}`, secretAccessKey: randomUUID() };
    const owner = ['--access', S3_OWNER.accessKeyId, '--secret', S3_OWNER.secretAccessKey];
    const made = ['--access', credentials.accessKeyId, '--secret', credentials.secretAccessKey, '--role', 'user'];
    execFileSync(program, ['admin', ...owner, '--endpoint-url', access.endpoint, 'create-user', ...made], { stdio: 'pipe' });
    const Statement = statements.map((statement) => ({ ...statement, Principal: credentials.accessKeyId }));
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement });
    const client = clientOf(access);
    await client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }));
    client.destroy();
    return { ...access, credentials };
  };

const ownedAt = (endpoint: string): S3Access => ({
  ...{ endpoint, region: S3_REGION, pathStyle: true },
  credentials: S3_OWNER,
});

async function ownServer(program: string): Promise<S3Server> {
  const directory = mkdtempSync(join(tmpdir(), 'meterfold-s3-'));
  const port = await freePort();
  const child = await run(program, port, directory);
  const access = ownedAt(`http://127.0.0.1:${port}`);
  return serverAt(access, userOf(program, access), async () => {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
    await rm(directory, { recursive: true, force: true });
  });
}

/** One of one's own, whose program is on this machine or fetched. */
export const startS3 = (): Promise<S3Server> => ownServer(ownProgram(s3).path);

/** Without users: the program that makes them is inside. */
async function containedServer(image: string): Promise<S3Server> {
  const { host, port, stop } = await containS3(image);
  const endpoint = `http://${host}:${port}`;
  await until(`S3 in Docker answers on ${port}`, () => answers(endpoint));
  return serverAt(ownedAt(endpoint), undefined, stop);
}

/** A server that is not ours, with the credentials of AWS_*: its buckets stay, empty them by a lifecycle rule. */
function givenServer(endpoint: string): S3Server {
  const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '', AWS_REGION = S3_REGION } = process.env;
  const credentials = { accessKeyId: AWS_ACCESS_KEY_ID, secretAccessKey: AWS_SECRET_ACCESS_KEY };
  return serverAt({ endpoint, region: AWS_REGION, pathStyle: true, credentials }, undefined, () => Promise.resolve());
}

export async function openS3(found: Found): Promise<S3Server> {
  switch (found.way) {
    case 'given':
      return givenServer(found.url);
    case 'Docker':
      return containedServer(found.image);
    case 'program':
    case 'fetched':
      return ownServer(found.program.path);
  }
}
