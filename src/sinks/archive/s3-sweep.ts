/** What a sweep sees and does in S3. With credentials of its own: no worker needs to list or to delete. */
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import type { Sweepable } from '../../contract.ts';
import { demandKey } from './keys.ts';
import { type S3Options, s3Client } from './s3-client.ts';
import { isPreconditionFailed, isService, s3Failure, told } from './s3-errors.ts';
import { listObjects, objectKey, placeOf, uriOf } from './s3-layout.ts';

/** Needs s3:ListBucket, and to remove also s3:DeleteObject and s3:GetObject (S3 asks for it because of `If-Match`). */
export function openS3Sweep(options: S3Options): Sweepable & { close(): void } {
  const place = placeOf(options);
  const client = s3Client(options);
  return {
    name: 's3',
    objects: async function* (prefix) {
      try {
        yield* listObjects(client, { place, prefix });
      } catch (error) {
        throw s3Failure(`list ${uriOf(place, `${place.prefix}*/${prefix}`)}`, error);
      }
    },
    remove: async ({ key, version }) => {
      demandKey(key);
      const Key = objectKey(place, key);
      return told(`remove ${uriOf(place, Key)}`, async () => {
        try {
          await client.send(new DeleteObjectCommand({ Bucket: place.bucket, Key, IfMatch: version }));
          return 'removed';
        } catch (error) {
          if (isPreconditionFailed(error)) return 'changed';
          // Of a key without an object stores say 204 or this: an answer that was lost, or another sweep.
          if (isService(error) && error.name === 'NoSuchKey') return 'removed';
          throw error;
        }
      });
    },
    close: () => {
      client.destroy();
    },
  };
}
