/** The archive in S3, over a real server: the promises of any archive, and what is S3's own. */
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { expect, test } from 'vitest';
import { archiveConformance } from '../../src/conformance/archive.ts';
import { sweepableConformance } from '../../src/conformance/sweepable.ts';
import { listObjects, objectKey, placeOf } from '../../src/sinks/archive/s3-layout.ts';
import { openS3Sweep } from '../../src/sinks/archive/s3-sweep.ts';
import { openS3Archive } from '../../src/sinks/archive/s3.ts';
import { describeS3 } from '../support/s3-services.ts';

describeS3('S3 archive', (server) => {
  archiveConformance('S3', async () => {
    const archive = await openS3Archive({ ...server().access, bucket: await server().bucket() });
    return { archive, close: async () => archive.close() };
  });

  sweepableConformance('S3', async () => {
    const options = { ...server().access, bucket: await server().bucket(), prefix: 'a/b' };
    const [archive, store] = [await openS3Archive(options), openS3Sweep(options)];
    const close = async (): Promise<void> => {
      archive.close();
      store.close();
    };
    return { archive, store, close };
  });

  test('a listing goes on behind a page, in order over all shards, and shows nothing that others laid there', async () => {
    const bucket = await server().bucket();
    const archive = await openS3Archive({ ...server().access, bucket, prefix: 'p' });
    const keys = Array.from({ length: 100 }, (_, n) => `segments/l${n % 3}/${String(n).padStart(20, '0')}.avro`);
    await Promise.all(keys.map((key) => archive.put(key, new Uint8Array([1]))));
    const place = placeOf({ bucket, prefix: 'p' });
    const ours = objectKey(place, keys[0]!);
    const otherShard = `p/${ours.charAt(2) === '0' ? '1' : '0'}/${keys[0]!}`;
    const foreign = [otherShard, objectKey(place, 'segments/a b.avro'), 'p/readme', 'q/0/x', `0/${keys[0]!}`];
    for (const Key of foreign) await server().client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: 'x' }));
    for (const pageKeys of [1, 3, 1000]) {
      const listed = [];
      for await (const { key } of listObjects(server().client, { place, prefix: '', pageKeys })) listed.push(key);
      expect(listed).toEqual([...keys].sort());
    }
    archive.close();
  });

  test('a listing that nobody reads to its end leaves nothing open', async () => {
    const archive = await openS3Archive({ ...server().access, bucket: await server().bucket() });
    for (const key of ['a', 'b', 'c']) await archive.put(key, new Uint8Array());
    for await (const key of archive.list('')) {
      expect(key).toBe('a');
      break;
    }
    archive.close();
  });
});
