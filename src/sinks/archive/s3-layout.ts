/**
 * Where a key of the archive lies in the bucket: `PREFIX/SHARD/KEY`. S3 serves 3,500 writes and 5,500 reads a second for each
 * prefix that it has split off, and can only split where keys differ early: so a hash comes before the lineage. The layout is
 * part of the data: other shards would look for objects where they are not (the marker of s3-probe.ts holds it).
 */
import { createHash } from 'node:crypto';
import type { S3Client } from '@aws-sdk/client-s3';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import type { StoredObject } from '../../contract.ts';
import { isKey } from './keys.ts';

/** Sixteen: 56,000 writes and 88,000 reads a second at full split, and a listing is sixteen requests at least. */
const SHARDS: readonly string[] = '0123456789abcdef'.split('');
export const LAYOUT = { layout: 1, shards: SHARDS.length };

export interface Place {
  readonly bucket: string;
  /** Ends with a slash where there is one. */
  readonly prefix: string;
}

export function placeOf({ bucket, prefix = '' }: { readonly bucket: string; readonly prefix?: string }): Place {
  if (prefix === '') return { bucket, prefix };
  if (!isKey(prefix)) throw new RangeError(`archive prefix ${JSON.stringify(prefix)} is not a relative path of plain names`);
  return { bucket, prefix: `${prefix}/` };
}

const shardOf = (key: string): string => createHash('sha256').update(key).digest('hex').charAt(0);

export const objectKey = ({ prefix }: Place, key: string): string => `${prefix}${shardOf(key)}/${key}`;

/** A full key of the bucket, as messages name it. */
export const uriOf = ({ bucket }: Place, key: string): string => `s3://${bucket}/${key}`;

interface Listing {
  readonly place: Place;
  /** Of keys. */
  readonly prefix: string;
  /** Keys a request; S3 gives no more than 1,000. */
  readonly pageKeys?: number;
}

async function* listShard(
  client: S3Client,
  { place, prefix, pageKeys = 1000 }: Listing,
  shard: string,
): AsyncGenerator<StoredObject> {
  const above = `${place.prefix}${shard}/`;
  for (let token: string | undefined; ;) {
    const page = await client.send(
      new ListObjectsV2Command({
        Bucket: place.bucket,
        Prefix: `${above}${prefix}`,
        MaxKeys: pageKeys,
        ContinuationToken: token,
      }),
    );
    for (const { Key = '', ETag = '', LastModified } of page.Contents ?? []) {
      const key = Key.slice(above.length);
      // What somebody else laid there is no object of the archive.
      if (isKey(key) && shardOf(key) === shard) yield { key, version: ETag, storedAt: LastModified?.getTime() ?? 0 };
    }
    if (page.NextContinuationToken === undefined) return;
    token = page.NextContinuationToken;
  }
}

/** Objects by prefix of their key, in byte order of keys: each shard is listed in that order, and they are merged. */
export async function* listObjects(client: S3Client, listing: Listing): AsyncGenerator<StoredObject> {
  const shards = SHARDS.map((shard) => listShard(client, listing, shard));
  try {
    const heads = await Promise.all(shards.map(async (shard) => ({ shard, listed: await next(shard) })));
    for (;;) {
      const least = heads.reduce((a, b) => (isBefore(b.listed, a.listed) ? b : a));
      if (least.listed === undefined) return;
      yield least.listed;
      least.listed = await next(least.shard);
    }
  } finally {
    for (const shard of shards) await shard.return(undefined);
  }
}

async function next(shard: AsyncGenerator<StoredObject>): Promise<StoredObject | undefined> {
  const { value } = (await shard.next()) as IteratorResult<StoredObject, undefined>;
  return value;
}

/** Keys are ASCII: the order of strings is that of bytes. */
const isBefore = (a: StoredObject | undefined, b: StoredObject | undefined): boolean =>
  a !== undefined && (b === undefined || a.key < b.key);
