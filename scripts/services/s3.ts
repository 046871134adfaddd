/** An S3 with a bucket. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CreateBucketCommand, HeadBucketCommand, S3ServiceException } from '@aws-sdk/client-s3';
import { answers, clientOf, type Credentials } from '../../test/support/s3-server.ts';
import { containS3, s3 as service, S3_OWNER, S3_REGION, s3Arguments } from '../../test/support/services/s3.ts';
import type { Server } from './server.ts';

const BUCKET = 'meterfold';

/** Of a server that is given: those of the environment. */
function credentials(): Credentials {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = process.env;
  const isGiven = (process.env[service.given ?? ''] ?? '') !== '';
  return isGiven && accessKeyId !== undefined && secretAccessKey !== undefined ? { accessKeyId, secretAccessKey } : S3_OWNER;
}

async function furnish(endpoint: string): Promise<void> {
  const client = clientOf({ endpoint, region: S3_REGION, pathStyle: true, credentials: credentials() });
  try {
    await client.send(new HeadBucketCommand({ Bucket: BUCKET }));
  } catch (error) {
    if (!(error instanceof S3ServiceException) || error.$metadata.httpStatusCode !== 404) throw error;
    await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
  } finally {
    client.destroy();
  }
}

export const s3: Server = {
  service,
  stop: 'SIGTERM',
  address: (host, port) => `http://${host}:${port}`,
  command: async (program, dir, [port]) => {
    const [users, buckets] = [join(dir, 'users'), join(dir, 'buckets')];
    for (const path of [users, buckets]) await mkdir(path, { recursive: true });
    return [program, s3Arguments(`127.0.0.1:${port}`, users, buckets)];
  },
  contain: containS3,
  answers,
  furnish,
  settings: (s3Endpoint) => ({ s3Bucket: BUCKET, s3Endpoint, s3PathStyle: 'true', s3Region: S3_REGION }),
  environment: () => ({
    AWS_ACCESS_KEY_ID: credentials().accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials().secretAccessKey,
    AWS_REGION: S3_REGION,
  }),
};
