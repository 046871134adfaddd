/** What S3 and the way to it may do to an archive, between the real client and a real server. */
import { createHash } from 'node:crypto';
import { ListMultipartUploadsCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Archive } from '../../src/contract.ts';
import { objectKey, placeOf } from '../../src/sinks/archive/s3-layout.ts';
import { openS3Archive, type S3Options } from '../../src/sinks/archive/s3.ts';
import { type Fault, faultyHttp, type FaultyHttp } from '../support/faulty-http.ts';
import { describeS3 } from '../support/s3-services.ts';

const KEY = 'segments/l0/1.avro';
const MIB = 1024 * 1024;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const KMS = 'x-amz-server-side-encryption';
const MINE = bytes('mine');
async function keysOf(archive: Archive, prefix = ''): Promise<string[]> {
  const keys = [];
  for await (const key of archive.list(prefix)) keys.push(key);
  return keys;
}
/** Three parts, the last of them short. */
const LARGE = Uint8Array.from({ length: 11 * MIB }, (_, n) => n % 251);

describeS3('S3 archive under faults', (server) => {
  let bucket: string;
  let way: FaultyHttp;
  let archive: Archive & { close(): void };
  const open = (options: Partial<S3Options> = {}) =>
    openS3Archive({ ...server().access, bucket, endpoint: way.endpoint, attempts: 2, partBytes: 5 * MIB, ...options });
  beforeEach(async () => {
    bucket = await server().bucket();
    way = await faultyHttp(server().access.endpoint);
    archive = await open();
  });
  afterEach(async () => {
    archive.close();
    await way.close();
  });

  /** Another process puts it, past the faults. */
  const other = (key: string, value: Uint8Array) => async () => {
    const direct = await openS3Archive({ ...server().access, bucket, partBytes: 5 * MIB });
    expect(await direct.put(key, value)).toBe('stored');
    direct.close();
  };
  const uploads = async (): Promise<number> => {
    const { Uploads } = await server().client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    return Uploads?.length ?? 0;
  };
  /** As often as it is tried. */
  const twice = (fault: Fault, on: RegExp): void => {
    way.fail(fault, on);
    way.fail(fault, on);
  };
  const requests = (of: RegExp): number => way.seen.filter((what) => of.test(what)).length;

  describe.each([
    ['500', { status: 500, code: 'InternalError' }],
    ['503', { status: 503, code: 'SlowDown' }],
    ['409 of puts that meet', { status: 409, code: 'ConditionalRequestConflict' }],
    ['reset', 'reset'],
  ] as const)('%s', (_, fault) => {
    test('once is tried again', async () => {
      way.fail(fault, /PUT .*l0/);
      expect(await archive.put(KEY, MINE)).toBe('stored');
      expect(requests(/PUT .*l0/)).toBe(2);
      expect(Buffer.from(await archive.get(KEY))).toEqual(Buffer.from(MINE));
    });

    test('at every try is a failure that passes', async () => {
      for (const method of ['PUT', 'GET']) twice(fault, new RegExp(`${method} .*l0`));
      await expect(archive.put(KEY, MINE)).rejects.toMatchObject({ code: 'ARCHIVE_UNAVAILABLE', kind: 'transient' });
      await expect(archive.get(KEY)).rejects.toMatchObject({ code: 'ARCHIVE_UNAVAILABLE' });
      expect(await archive.put(KEY, MINE)).toBe('stored');
    });
  });

  test('silence ends with its bound', async () => {
    const hasty = await open({ silenceMs: 100, attempts: 1 });
    way.fail('silent', /PUT .*l0/);
    way.fail('silent', /GET .*l0/);
    const late = { code: 'ARCHIVE_UNAVAILABLE', message: expect.stringContaining(`/${KEY}: `) };
    await expect(hasty.put(KEY, MINE)).rejects.toMatchObject(late);
    await expect(hasty.get(KEY)).rejects.toMatchObject(late);
    hasty.close();
  });

  test('a store that nobody listens at is a failure that passes', async () => {
    await way.close();
    await expect(archive.put(KEY, MINE)).rejects.toMatchObject({ code: 'ARCHIVE_UNAVAILABLE' });
    await expect(keysOf(archive)).rejects.toMatchObject({ code: 'ARCHIVE_UNAVAILABLE' });
  });

  describe('a put', () => {
    test('whose answer is lost is stored: sent again, it meets its own object', async () => {
      way.fail('lost', /PUT .*l0/);
      expect(await archive.put(KEY, MINE)).toBe('stored');
      expect(requests(/PUT .*l0/)).toBe(2);
    });

    test('that never arrived and meets the object of another is told so', async () => {
      way.fail('reset', /PUT .*l0/, other(KEY, bytes('theirs')));
      expect(await archive.put(KEY, MINE)).toBe('exists');
      expect(Buffer.from(await archive.get(KEY)).toString()).toBe('theirs');
    });

    test('at the first try takes no look at what is there', async () => {
      await other(KEY, MINE)();
      expect(await archive.put(KEY, MINE)).toBe('exists');
      expect(requests(/GET .*l0/)).toBe(0);
    });
  });

  test('each request carries the SHA-256 of its bytes, and what was damaged on its way is refused and sent again', async () => {
    const said = (of: RegExp) =>
      way.seen.flatMap((what, n) => (of.test(what) ? [way.headers[n]!['x-amz-checksum-sha256']] : []));
    const sha = (value: Uint8Array) => createHash('sha256').update(value).digest('base64');
    way.fail('garbled', /PUT .*l0/);
    await expect(archive.put(KEY, MINE)).rejects.toMatchObject({ code: 'ARCHIVE_UNAVAILABLE' });
    expect(await archive.put(KEY, MINE)).toBe('stored');
    expect(said(/PUT .*l0/)).toEqual([sha(MINE), sha(MINE)]);
    await archive.put('segments/l0/2.avro', LARGE);
    expect(said(/partNumber=3/)).toEqual([sha(LARGE.subarray(10 * MIB))]);
  });

  describe('a put in parts', () => {
    test('is whole, byte for byte, and its upload is over', async () => {
      expect(await archive.put(KEY, LARGE)).toBe('stored');
      expect(requests(/partNumber=/)).toBe(3);
      expect(Buffer.from(await archive.get(KEY)).equals(LARGE)).toBe(true);
      expect(await uploads()).toBe(0);
    });

    test('of exactly one part is no upload in parts', async () => {
      expect(await archive.put(KEY, LARGE.subarray(0, 5 * MIB))).toBe('stored');
      expect(requests(/uploads/)).toBe(0);
    });

    test('over an object of another changes nothing and leaves no parts', async () => {
      await other(KEY, MINE)();
      expect(await archive.put(KEY, LARGE)).toBe('exists');
      expect(Buffer.from(await archive.get(KEY))).toEqual(Buffer.from(MINE));
      expect(await uploads()).toBe(0);
    });

    test('at the same time by five: one is stored', async () => {
      const values = [1, 2, 3, 4, 5].map((n) => LARGE.map((byte) => (byte * n) % 256));
      const outcomes = await Promise.all(values.map((value) => archive.put(KEY, value)));
      expect(outcomes.filter((outcome) => outcome === 'stored')).toHaveLength(1);
      expect(Buffer.from(await archive.get(KEY)).equals(values[outcomes.indexOf('stored')]!)).toBe(true);
      expect(await uploads()).toBe(0);
    });

    test('whose last answer is lost is stored', async () => {
      way.fail('lost', /POST .*uploadId=/);
      expect(await archive.put(KEY, LARGE)).toBe('stored');
      expect(Buffer.from(await archive.get(KEY)).equals(LARGE)).toBe(true);
    });

    test.each([
      [412, 'PreconditionFailed'],
      [404, 'NoSuchUpload'],
    ])('whose last answer is lost is stored where a second completion gets a %i', async (status, code) => {
      way.fail('lost', /POST .*uploadId=/);
      way.fail({ status, code }, /POST .*uploadId=/);
      expect(await archive.put(KEY, LARGE)).toBe('stored');
    });

    test('whose first part is refused starts no further ones', async () => {
      way.fail({ status: 400, code: 'InvalidPart' }, /partNumber=1&/);
      await expect(archive.put(KEY, new Uint8Array(60 * MIB))).rejects.toMatchObject({ code: 'ARCHIVE_MISCONFIGURED' });
      expect(requests(/partNumber=/)).toBeLessThan(12);
      expect(await uploads()).toBe(0);
    });

    test('whose last request never arrived, while another stored its own, is told so', async () => {
      way.fail('reset', /POST .*uploadId=/, other(KEY, MINE));
      expect(await archive.put(KEY, LARGE)).toBe('exists');
      expect(await uploads()).toBe(0);
    });

    test('whose upload somebody ended is a failure that passes', async () => {
      way.fail({ status: 404, code: 'NoSuchUpload' }, /POST .*uploadId=/);
      await expect(archive.put(KEY, LARGE)).rejects.toMatchObject({ code: 'ARCHIVE_UNAVAILABLE' });
      expect(await archive.put(KEY, LARGE)).toBe('stored');
    });

    test('survives lost answers of parts', async () => {
      for (const n of [1, 2, 3]) way.fail('lost', new RegExp(`partNumber=${n}`));
      expect(await archive.put(KEY, LARGE)).toBe('stored');
      expect(Buffer.from(await archive.get(KEY)).equals(LARGE)).toBe(true);
    });

    test('that fails leaves no parts, and fails as it did where even that fails', async () => {
      const down = { status: 500, code: 'InternalError' };
      twice(down, /partNumber=2/);
      await expect(archive.put(KEY, LARGE)).rejects.toMatchObject({ code: 'ARCHIVE_UNAVAILABLE' });
      expect(await uploads()).toBe(0);
      twice(down, /partNumber=2/);
      twice('reset', /DELETE/);
      await expect(archive.put(KEY, LARGE)).rejects.toMatchObject({ message: expect.stringContaining('InternalError') });
      expect(await uploads()).toBe(1);
    });
  });

  test('objects are put under a KMS key where one is given, whole or in parts, and elsewhere nothing is said', async () => {
    const under = await open({ kmsKeyId: 'arn:aws:kms:us-east-1:1:key/k' });
    await under.put(KEY, MINE);
    await under.put('segments/l0/2.avro', LARGE);
    await archive.put('segments/l0/3.avro', MINE);
    under.close();
    const said = (of: RegExp) =>
      way.seen.flatMap((what, n) => {
        const { [KMS]: kind, [`${KMS}-aws-kms-key-id`]: key, [`${KMS}-bucket-key-enabled`]: shared } = way.headers[n]!;
        return of.test(what) ? [[kind, key, shared]] : [];
      });
    const encrypted = ['aws:kms', 'arn:aws:kms:us-east-1:1:key/k', 'true'];
    expect(said(/PUT .*1\.avro/)).toEqual([encrypted]);
    expect(said(/POST .*uploads/)).toEqual([encrypted]);
    expect(said(/partNumber=1/)).toEqual([[undefined, undefined, undefined]]);
    expect(said(/PUT .*3\.avro/)).toEqual([[undefined, undefined, undefined]]);
  });

  describe('a get', () => {
    test('that breaks off is a failure that passes', async () => {
      await archive.put(KEY, LARGE.subarray(0, MIB));
      way.fail('truncated', /GET .*l0/);
      await expect(archive.get(KEY)).rejects.toMatchObject({ code: 'ARCHIVE_UNAVAILABLE' });
      expect(await archive.get(KEY)).toHaveLength(MIB);
    });

    test('damaged on its way is asked for again; twice, it is ARCHIVE_DAMAGED', async () => {
      await archive.put(KEY, MINE);
      way.fail('damaged', /GET .*l0/);
      expect(Buffer.from(await archive.get(KEY)).toString()).toBe('mine');
      twice('damaged', /GET .*l0/);
      const named = expect.stringContaining(objectKey(placeOf({ bucket }), KEY));
      await expect(archive.get(KEY)).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED', message: named });
    });
  });

  describe('opening', () => {
    test('a store that writes over objects is refused', async () => {
      twice({ status: 200 }, /PUT .*meterfold-archive/);
      await expect(open({ prefix: 'other' })).rejects.toMatchObject({
        code: 'ARCHIVE_MISCONFIGURED',
        message: expect.stringContaining('in spite of If-None-Match'),
      });
    });

    test('a store that answers the second marker with a fault first is none that writes over it', async () => {
      way.fail('none', /PUT .*meterfold-archive/);
      way.fail({ status: 500, code: 'InternalError' }, /PUT .*meterfold-archive/);
      const opened = await open({ prefix: 'slow' });
      expect(await opened.put(KEY, MINE)).toBe('stored');
      opened.close();
    });

    test('what another version laid out in another way is refused', async () => {
      const marker = { Bucket: bucket, Key: 'later/meterfold-archive.json', Body: '{"layout":2}' };
      await server().client.send(new PutObjectCommand(marker));
      const message = expect.stringContaining('{"layout":2}');
      await expect(open({ prefix: 'later' })).rejects.toMatchObject({ code: 'ARCHIVE_MISCONFIGURED', message });
    });

    test('with a wrong secret, an unknown key or no bucket says what to correct', async () => {
      const { accessKeyId } = server().access.credentials;
      const refused = (options: Partial<S3Options>, allowed: string) =>
        expect(open(options)).rejects.toMatchObject({
          code: 'ARCHIVE_MISCONFIGURED',
          kind: 'fatal',
          detail: { allowed: expect.stringContaining(allowed) },
        });
      await refused({ credentials: { accessKeyId, secretAccessKey: 'another' } }, 'correct the credentials');
      await refused({ credentials: { accessKeyId: 'nobody', secretAccessKey: 'x' } }, 'correct the credentials');
      await refused({ bucket: 'meterfold-none-there' }, 'create the bucket');
    });

    test('a part below what S3 takes, or a prefix that leads elsewhere, is a fault of the caller', async () => {
      await expect(open({ partBytes: 5 * MIB - 1 })).rejects.toThrow('at least 5 MiB');
      for (const prefix of ['/x', 'x/', '../x', 'a//b']) await expect(open({ prefix })).rejects.toThrow('plain names');
    });
  });
});
