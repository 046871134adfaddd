/** The archive in S3, or in a store that speaks its protocol. See docs/s3-archive.md. */
import type { Archive } from '../../contract.ts';
import { demandKey } from './keys.ts';
import { type S3Options, s3Client } from './s3-client.ts';
import { s3Failure, told } from './s3-errors.ts';
import { getWhole, holds } from './s3-get.ts';
import { listObjects, objectKey, placeOf, uriOf } from './s3-layout.ts';
import { probe } from './s3-probe.ts';
import { putIfAbsent } from './s3-put.ts';

export type { S3Options } from './s3-client.ts';

/** Outside of all shards. */
export const MARKER_KEY = 'meterfold-archive.json';
const MIB = 1024 * 1024;
const PART_BYTES = 16 * MIB;
/** S3's own bound for every part but the last. */
const LEAST_PART_BYTES = 5 * MIB;

/**
 * Throws ARCHIVE_MISCONFIGURED where this process may not write and read there, or where the store does not honour
 * conditional writes. Needs s3:PutObject, s3:GetObject and s3:AbortMultipartUpload; `list` also s3:ListBucket.
 */
export async function openS3Archive(options: S3Options): Promise<Archive & { close(): void }> {
  const { kmsKeyId, partBytes = PART_BYTES } = options;
  if (partBytes < LEAST_PART_BYTES) throw new RangeError(`parts of ${String(partBytes)} bytes: at least 5 MiB`);
  const place = placeOf(options);
  const client = s3Client(options);
  const at = (key: string) => ({ Bucket: place.bucket, Key: key });
  const put = (key: string, bytes: Uint8Array) =>
    told(`put ${uriOf(place, key)}`, () => {
      const there = (expected: Uint8Array) => holds(client, at(key), expected);
      return putIfAbsent({ client, at: at(key), kmsKeyId, partBytes, holds: there }, bytes);
    });
  const get = (key: string) => told(`get ${uriOf(place, key)}`, () => getWhole(client, at(key)));
  const markerKey = `${place.prefix}${MARKER_KEY}`;
  try {
    await probe(uriOf(place, place.prefix), { put: (bytes) => put(markerKey, bytes), get: () => get(markerKey) });
  } catch (error) {
    client.destroy();
    throw error;
  }
  return {
    name: 's3',
    put: async (key, bytes) => {
      demandKey(key);
      return put(objectKey(place, key), bytes);
    },
    get: async (key) => {
      demandKey(key);
      return get(objectKey(place, key));
    },
    list: async function* (prefix) {
      try {
        for await (const { key } of listObjects(client, { place, prefix })) yield key;
      } catch (error) {
        throw s3Failure(`list ${uriOf(place, `${place.prefix}*/${prefix}`)}`, error);
      }
    },
    close: () => client.destroy(),
  };
}
