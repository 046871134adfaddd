/**
 * Before anything is trusted to a bucket: may this process write and read there, does the store honour `If-None-Match`, and
 * is it laid out as this version would? A store that overwrites would let a second sealer replace the truth.
 */
import type { Archive } from '../../contract.ts';
import { MeterError } from '../../errors.ts';
import { LAYOUT } from './s3-layout.ts';

/** What a start writes beside the shards, once. */
export const MARKER = new TextEncoder().encode(`${JSON.stringify({ meterfold: 'archive', ...LAYOUT })}\n`);

const NO_MARKER = new TextEncoder().encode('an object that this store should not have taken\n');

/** Put and get of one object that lies outside of all shards. */
export interface Probed {
  readonly put: (bytes: Uint8Array) => ReturnType<Archive['put']>;
  readonly get: () => Promise<Uint8Array>;
}

/** Answers what is there. Throws ARCHIVE_MISCONFIGURED for a store that writes over it. `at`: the bucket and prefix, for the message. */
export async function putOnce(at: string, bytes: Uint8Array, probed: Probed): Promise<Uint8Array> {
  // Other bytes the second time: our own ones, met behind an answer that was lost, would count as stored.
  if ((await probed.put(bytes)) === 'stored' && (await probed.put(NO_MARKER)) === 'stored') {
    throw new MeterError('ARCHIVE_MISCONFIGURED', `open ${at}: the store wrote over an object in spite of If-None-Match`, {
      allowed: 'a store that honours conditional writes, as S3 does',
    });
  }
  return probed.get();
}

export function demandLayout(at: string, found: Uint8Array): void {
  if (Buffer.from(found).equals(MARKER)) return;
  throw new MeterError('ARCHIVE_MISCONFIGURED', `open ${at}: laid out as ${Buffer.from(found).toString().slice(0, 200)}`, {
    allowed: 'the version of Meterfold that laid it out, or another prefix',
  });
}

export async function probe(at: string, marker: Probed): Promise<void> {
  demandLayout(at, await putOnce(at, MARKER, marker));
}
