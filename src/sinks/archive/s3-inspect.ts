/**
 * What a bucket must be, and may let this process do, before anything is entrusted to it. Rights of a worker do not include
 * removal: one object `meterfold-check.json` stays beside the shards, the same for every check, and is part of nothing.
 */
import { MeterError } from '../../errors.ts';
import { MARKER_KEY } from './s3.ts';
import { type S3Options, s3Client } from './s3-client.ts';
import { told } from './s3-errors.ts';
import { getWhole, holds } from './s3-get.ts';
import { listObjects, placeOf, uriOf } from './s3-layout.ts';
import { demandLayout, type Probed, putOnce } from './s3-probe.ts';
import { putIfAbsent } from './s3-put.ts';

export const CHECK_KEY = 'meterfold-check.json';
const CHECKED = new TextEncoder().encode(`${JSON.stringify({ meterfold: 'check' })}\n`);
const PART_BYTES = 16 * 1024 * 1024;

/** The steps, in the order in which they make sense. Each answers what it found, or throws why not. */
export interface S3Inspection extends AsyncDisposable {
  /** Put-if-absent and get. */
  objects(): Promise<string>;
  /** What earlier starts laid out under the prefix is as this version would. */
  layout(): Promise<string>;
  /** Only a sweep needs it. */
  list(): Promise<string>;
}

export function inspectS3(options: S3Options): S3Inspection {
  const place = placeOf(options);
  const client = s3Client({ attempts: 2, ...options });
  const at = (name: string) => ({ Bucket: place.bucket, Key: `${place.prefix}${name}` });
  const uri = uriOf(place, place.prefix);
  const get = (name: string) => told(`get ${uriOf(place, at(name).Key)}`, () => getWhole(client, at(name)));
  const check: Probed = {
    get: () => get(CHECK_KEY),
    put: (bytes) =>
      told(`put ${uriOf(place, at(CHECK_KEY).Key)}`, () => {
        const there = (expected: Uint8Array) => holds(client, at(CHECK_KEY), expected);
        const of = { client, at: at(CHECK_KEY), kmsKeyId: options.kmsKeyId, partBytes: PART_BYTES, holds: there };
        return putIfAbsent(of, bytes);
      }),
  };
  return {
    objects: async () => {
      demandCheck(uri, await putOnce(uri, CHECKED, check));
      return `${CHECK_KEY} put if absent, and read; it stays`;
    },
    layout: async () => {
      const found = await markerOf(() => get(MARKER_KEY));
      if (found === undefined) return 'new: the first start lays it out';
      demandLayout(uri, found);
      return 'as this version lays it out';
    },
    list: async () => {
      try {
        await told(`list ${uri}`, async () => void (await listObjects(client, { place, prefix: '', pageKeys: 1 }).next()));
        return 'allowed; only a sweep needs it';
      } catch (error) {
        if (isRefused(error)) return 'not allowed; only a sweep needs it';
        throw error;
      }
    },
    [Symbol.asyncDispose]: () => {
      client.destroy();
      return Promise.resolve();
    },
  };
}

function demandCheck(uri: string, found: Uint8Array): void {
  if (Buffer.from(found).equals(CHECKED)) return;
  throw new MeterError('ARCHIVE_MISCONFIGURED', `open ${uri}: ${CHECK_KEY} is there with something else in it`, {
    allowed: 'a store that honours conditional writes, or another prefix',
  });
}

const isRefused = (error: unknown): boolean => error instanceof MeterError && error.code === 'ARCHIVE_MISCONFIGURED';

/** Without the right to list, S3 says of an object that is missing that it is refused. Get works: `objects` has shown it. */
async function markerOf(get: () => Promise<Uint8Array>): Promise<Uint8Array | undefined> {
  try {
    return await get();
  } catch (error) {
    if (isRefused(error) || (error instanceof MeterError && error.code === 'ARCHIVE_MISSING')) return undefined;
    throw error;
  }
}
