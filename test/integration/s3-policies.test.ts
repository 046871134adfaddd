/** The policies of docs/s3-archive.md, given to users who may do nothing else. */
import { readFileSync } from 'node:fs';
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { beforeAll, describe, expect, test } from 'vitest';
import { objectKey, placeOf } from '../../src/sinks/archive/s3-layout.ts';
import { openS3Sweep } from '../../src/sinks/archive/s3-sweep.ts';
import { openS3Archive } from '../../src/sinks/archive/s3.ts';
import type { S3Access } from '../support/s3-server.ts';
import { describeS3 } from '../support/s3-services.ts';

const PAGE = readFileSync(new URL('../../docs/s3-archive.md', import.meta.url), 'utf8');
const MIB = 1024 * 1024;
const KEY = 'segments/l0/1.avro';
const DENIED = { code: 'ARCHIVE_MISCONFIGURED', message: expect.stringContaining('AccessDenied') };

/** The statements of a policy of the page, for a bucket of ours. */
function policy(name: string, bucket: string): readonly object[] {
  const [, text] = new RegExp(`\`\`\`json policy=${name}\n([^]*?)\`\`\``).exec(PAGE) ?? [];
  const { Statement } = JSON.parse(text!.replaceAll('arn:aws:s3:::meterfold-archive', `arn:aws:s3:::${bucket}`)) as {
    Statement: readonly object[];
  };
  return Statement;
}

describeS3(
  'S3 policies',
  (server) => {
    let bucket: string;
    const userWith = async (name: string): Promise<S3Access> => {
      const { user } = server();
      return user === undefined ? Promise.reject(new Error('no users')) : user(bucket, policy(name, bucket));
    };
    const first = async <T>(values: AsyncIterable<T>): Promise<T | undefined> => {
      for await (const value of values) return value;
      return undefined;
    };

    describe('archive', () => {
      let access: S3Access;
      beforeAll(async () => {
        bucket = await server().bucket();
        access = await userWith('archive');
      });

      test('is enough for what a worker does: open, put whole and in parts, meet an object, read', async () => {
        const archive = await openS3Archive({ ...access, bucket, partBytes: 5 * MIB });
        const large = new Uint8Array(6 * MIB).fill(7);
        expect(await archive.put(KEY, new Uint8Array([1]))).toBe('stored');
        expect(await archive.put('segments/l0/2.avro', large)).toBe('stored');
        // Meets an object, and ends its upload.
        expect(await archive.put(KEY, large)).toBe('exists');
        expect([...(await archive.get(KEY))]).toEqual([1]);
        expect(Buffer.from(await archive.get('segments/l0/2.avro')).equals(large)).toBe(true);
        archive.close();
      });

      test('lists and removes nothing', async () => {
        const [archive, sweep] = [await openS3Archive({ ...access, bucket }), openS3Sweep({ ...access, bucket })];
        await expect(first(archive.list(''))).rejects.toMatchObject(DENIED);
        await expect(first(sweep.objects(''))).rejects.toMatchObject(DENIED);
        await expect(sweep.remove({ key: KEY, storedAt: 0, version: '"x"' })).rejects.toMatchObject(DENIED);
        expect(await archive.get(KEY)).toHaveLength(1);
        for (const open of [archive, sweep]) open.close();
      });

      test('of another bucket opens nothing', async () => {
        const other = await server().bucket();
        await expect(openS3Archive({ ...access, bucket: other })).rejects.toMatchObject({
          ...DENIED,
          detail: { allowed: expect.stringContaining('docs/s3-archive.md') },
        });
      });
    });

    describe('sweep', () => {
      let access: S3Access;
      beforeAll(async () => {
        bucket = await server().bucket();
        const owner = await openS3Archive({ ...server().access, bucket });
        for (const n of [1, 2]) await owner.put(`segments/l0/${n}.avro`, new Uint8Array([n]));
        owner.close();
        access = await userWith('sweep');
      });

      test('is enough to list and to remove an object of a segment', async () => {
        const sweep = openS3Sweep({ ...access, bucket });
        const object = await first(sweep.objects('segments/'));
        expect(object?.key).toBe(KEY);
        expect(await sweep.remove(object!)).toBe('removed');
        expect((await first(sweep.objects('segments/')))?.key).toBe('segments/l0/2.avro');
        sweep.close();
      });

      test('writes nothing, and removes nothing but segments', async () => {
        const client = new S3Client({ ...access, forcePathStyle: true });
        const Key = objectKey(placeOf({ bucket }), KEY);
        const put = client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: 'x' }));
        await expect(put).rejects.toMatchObject({ name: 'AccessDenied' });
        const sweep = openS3Sweep({ ...access, bucket });
        await expect(sweep.remove({ key: 'other/1', storedAt: 0, version: '"x"' })).rejects.toMatchObject(DENIED);
        const marker = { Bucket: bucket, Key: 'meterfold-archive.json' };
        await expect(client.send(new GetObjectCommand(marker))).rejects.toMatchObject({ name: 'AccessDenied' });
        client.destroy();
        sweep.close();
      });
    });
  },
  'own',
);
