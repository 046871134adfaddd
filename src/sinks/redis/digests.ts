/**
 * Where the digest of a key lies. A page is found by bits of the digest that were mixed with the rest of it under a secret of
 * the incarnation: whoever chooses keys could else find many whose digests begin alike, and fill one page with them.
 */
import { createHash } from 'node:crypto';
import { type Epoch, MOST_BITS } from './epochs.ts';
import type { BucketKeys } from './keys.ts';

const DIGEST_BYTES = 16;
/** What a page keeps of a digest: its name says the first byte. */
export const KEPT_BYTES = DIGEST_BYTES - 1;

/** A round of a Feistel network: the first 16 bits plus a hash of the others, so nothing of the digest is lost. */
export class Mixer {
  readonly #factors: readonly number[];

  constructor(incarnation: string) {
    const secret = createHash('sha256').update(`pages of ${incarnation}`).digest();
    this.#factors = [0, 4, 8, 12].map((at) => secret.readInt32BE(at) | 1);
  }

  /** The first 16 bits, mixed. */
  first(digest: string): number {
    return (((digest.charCodeAt(0) << 8) | digest.charCodeAt(1)) + this.hash(digest)) & 0xffff;
  }

  /** 16 bits of all but the first two bytes: multiply, shift. */
  hash(digest: string): number {
    const [a = 1, b = 1, c = 1, d = 1] = this.#factors;
    const sum =
      Math.imul(wordAt(digest, 2), a) +
      Math.imul(wordAt(digest, 6), b) +
      Math.imul(wordAt(digest, 10), c) +
      Math.imul((digest.charCodeAt(14) << 8) | digest.charCodeAt(15), d);
    return (sum >>> 16) & 0xffff;
  }
}

const wordAt = (text: string, at: number): number =>
  (text.charCodeAt(at) << 24) | (text.charCodeAt(at + 1) << 16) | (text.charCodeAt(at + 2) << 8) | text.charCodeAt(at + 3);

/** A key as the digests know it. */
export interface Keyed {
  readonly digest: string;
  readonly epoch: number;
}

export interface Place {
  readonly keys: BucketKeys;
  readonly incarnation: string;
  readonly oldest: number;
  /** All that hold digests, and those that are to get their first. */
  readonly epochs: readonly Epoch[];
}

export interface Digests {
  /** Names of pages, in the order of `places`: epoch by epoch. */
  readonly names: readonly string[];
  /** For each epoch: the name of the map of its pages. */
  readonly maps: readonly string[];
  /** For each epoch: how many names there are up to the end of its pages. */
  readonly ends: readonly number[];
  /** For each digest and epoch: which of the names, from 1. */
  readonly places: readonly number[];
  /** For each digest: which of the epochs keeps it, from 1. */
  readonly own: readonly number[];
  readonly bytes: Buffer;
}

/** An epoch before `oldest` is kept with the oldest one. */
export const keptIn = (epoch: number, oldest: number): number => Math.max(epoch, oldest);

export function digestsOf(keyed: readonly Keyed[], { keys, incarnation, oldest, epochs }: Place): Digests {
  const mixer = keys.mixer(incarnation);
  const bytes = Buffer.allocUnsafe(keyed.length * KEPT_BYTES);
  const index = new Map(epochs.map(({ epoch }, n) => [epoch, n + 1]));
  const names: string[] = [];
  const ends: number[] = [];
  const places = new Array<number>(keyed.length * epochs.length);
  const own = new Array<number>(keyed.length);
  const firsts = new Uint16Array(keyed.length);
  keyed.forEach(({ digest, epoch }, n) => {
    const first = mixer.first(digest);
    firsts[n] = first;
    const at = n * KEPT_BYTES;
    bytes[at] = first & 0xff;
    for (let byte = 1; byte < KEPT_BYTES; byte += 1) bytes[at + byte] = digest.charCodeAt(byte + 1);
    own[n] = index.get(keptIn(epoch, oldest)) ?? 0;
  });
  epochs.forEach(({ epoch, bits }, e) => {
    const prefix = keys.pages(incarnation, epoch);
    const known = new Int32Array(2 ** bits);
    firsts.forEach((first, n) => {
      const page = first >> (MOST_BITS - bits);
      let name = known[page] ?? 0;
      if (name === 0) known[page] = name = names.push(prefix + page.toString(36));
      places[n * epochs.length + e] = name;
    });
    ends.push(names.length);
  });
  const maps = epochs.map(({ epoch }) => keys.map(incarnation, epoch));
  return { names, maps, ends, places, own, bytes };
}
