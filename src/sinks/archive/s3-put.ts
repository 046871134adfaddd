/**
 * Put-if-absent on S3: `If-None-Match: *` on the one request that makes an object visible, a put or the completion of a
 * multipart upload. The SDK sends a request again whose answer was lost, and then meets its own object: that is success.
 */
import { createHash } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  type CompletedPart,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { isPreconditionFailed, isService } from './s3-errors.ts';

export interface PutTarget {
  readonly client: S3Client;
  readonly at: { readonly Bucket: string; readonly Key: string };
  readonly kmsKeyId: string | undefined;
  readonly partBytes: number;
  /** Whether exactly these bytes are there by now; undefined where no object is. */
  readonly holds: (bytes: Uint8Array) => Promise<boolean | undefined>;
}

const CONTENT_TYPE = 'application/octet-stream';
/** Uploads of parts at a time, of one object. */
const LANES = 4;

const checksum = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64');

const encryption = ({ kmsKeyId }: PutTarget) =>
  // A bucket key: one request to KMS for many objects instead of one for each.
  kmsKeyId === undefined
    ? {}
    : ({ ServerSideEncryption: 'aws:kms', SSEKMSKeyId: kmsKeyId, BucketKeyEnabled: true } as const);

export const putIfAbsent = (target: PutTarget, bytes: Uint8Array): Promise<'stored' | 'exists'> =>
  bytes.length > target.partBytes ? putParts(target, bytes) : putWhole(target, bytes);

async function putWhole(target: PutTarget, bytes: Uint8Array): Promise<'stored' | 'exists'> {
  const { client, at, holds } = target;
  const what = { Body: bytes, ContentType: CONTENT_TYPE, ChecksumSHA256: checksum(bytes), ...encryption(target) };
  try {
    await client.send(new PutObjectCommand({ ...at, ...what, IfNoneMatch: '*' }));
    return 'stored';
  } catch (error) {
    if (!isPreconditionFailed(error)) throw error;
    const isFirstTry = (error.$metadata.attempts ?? 1) === 1;
    return !isFirstTry && (await holds(bytes)) === true ? 'stored' : 'exists';
  }
}

async function putParts(target: PutTarget, bytes: Uint8Array): Promise<'stored' | 'exists'> {
  const { client, at } = target;
  const { UploadId } = await client.send(
    new CreateMultipartUploadCommand({
      ...at,
      ContentType: CONTENT_TYPE,
      ChecksumAlgorithm: 'SHA256',
      ...encryption(target),
    }),
  );
  const upload = { ...at, UploadId };
  try {
    const Parts = await uploadParts(target, upload, bytes);
    await client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts }, IfNoneMatch: '*' }));
    return 'stored';
  } catch (error) {
    const outcome = await afterParts(target, bytes, error);
    if (outcome !== 'stored') await abort(client, upload);
    if (outcome === undefined) throw error;
    return outcome;
  }
}

/**
 * 412: an object is there. 404: the upload is gone, because its completion was done and the answer lost, or because a
 * lifecycle rule ended it. Undefined: none of these.
 */
async function afterParts(
  { holds }: PutTarget,
  bytes: Uint8Array,
  error: unknown,
): Promise<'stored' | 'exists' | undefined> {
  if (!isPreconditionFailed(error) && !(isService(error) && error.name === 'NoSuchUpload')) return undefined;
  const isHeld = await holds(bytes);
  if (isHeld === undefined) return undefined;
  return isHeld ? 'stored' : 'exists';
}

type Upload = PutTarget['at'] & { readonly UploadId: string | undefined };

async function uploadParts({ client, partBytes }: PutTarget, upload: Upload, bytes: Uint8Array): Promise<CompletedPart[]> {
  const starts = Array.from({ length: Math.ceil(bytes.length / partBytes) }, (_, n) => n * partBytes);
  const parts: CompletedPart[] = [];
  const queue = [...starts.entries()].reverse();
  const lane = async (): Promise<void> => {
    for (let part = queue.pop(); part !== undefined; part = queue.pop()) {
      const [n, start] = part;
      parts[n] = await uploadPart(client, upload, n + 1, bytes.subarray(start, start + partBytes));
    }
  };
  const stopping = (error: unknown): never => {
    queue.length = 0;
    throw error;
  };
  // All of them, also after a failure: a part that arrives behind the abort would stay.
  const settled = await Promise.allSettled(Array.from({ length: LANES }, () => lane().catch(stopping)));
  for (const result of settled) if (result.status === 'rejected') throw result.reason;
  return parts;
}

async function uploadPart(client: S3Client, upload: Upload, PartNumber: number, Body: Uint8Array): Promise<CompletedPart> {
  const part = { PartNumber, ChecksumSHA256: checksum(Body) };
  const { ETag } = await client.send(new UploadPartCommand({ ...upload, ...part, Body }));
  return { ...part, ETag };
}

/** Parts that stay cost money, not correctness: the bucket's lifecycle rule ends what a dead process or this could not. */
async function abort(client: S3Client, upload: Upload): Promise<void> {
  try {
    await client.send(new AbortMultipartUploadCommand(upload));
  } catch (error) {
    if (!isService(error) && !(error instanceof Error && 'code' in error)) throw error;
  }
}
