/**
 * Before anything is trusted to a bucket: may this process write and read there, does the store honour `If-None-Match`, and
 * is it laid out as this version would? A store that overwrites would let a second sealer replace the truth.
 */
import type { Archive } from '../../contract.ts';
import { MeterError } from '../../errors.ts';
import { LAYOUT } from './s3-layout.ts';

const MARKER = new TextEncoder().encode(`${JSON.stringify({ meterfold: 'archive', ...LAYOUT })}\n`);

const NO_MARKER = new TextEncoder().encode('an object that this store should not have taken\n');

/** `at`: the bucket and prefix, for the message. `marker`: put and get of the one object that lies outside of all shards. */
export async function probe(
  at: string,
  marker: { put: (bytes: Uint8Array) => ReturnType<Archive['put']>; get: () => Promise<Uint8Array> },
): Promise<void> {
  // Other bytes the second time: our own ones, met behind an answer that was lost, would count as stored.
  if ((await marker.put(MARKER)) === 'stored' && (await marker.put(NO_MARKER)) === 'stored') {
    throw new MeterError('ARCHIVE_MISCONFIGURED', `open ${at}: the store wrote over an object in spite of If-None-Match`, {
      allowed: 'a store that honours conditional writes, as S3 does',
    });
  }
  const found = await marker.get();
  if (!Buffer.from(found).equals(MARKER)) {
    throw new MeterError('ARCHIVE_MISCONFIGURED', `open ${at}: laid out as ${Buffer.from(found).toString().slice(0, 200)}`, {
      allowed: 'the version of Meterfold that laid it out, or another prefix',
    });
  }
}
