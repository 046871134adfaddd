/**
 * The names of what a bucket holds. All carry the bucket's hash tag, so that one script reaches them in a Cluster, and the
 * mark of its incarnation, so that what was left by an older one is never taken for this one's.
 */
import { createHash } from 'node:crypto';
import { Mixer } from './digests.ts';

/** Hashes that the cells of one segment are spread over, by tenant: small ones stay in their compact form. */
export const CELL_HASHES = 64;

const MARK_LENGTH = 6;
const markOf = (incarnation: string): string =>
  createHash('sha256').update(incarnation).digest('base64url').slice(0, MARK_LENGTH);

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** Which hash holds a tenant's cells. Never changes: a process of another version must look in the same place. */
export function hashOfTenant(tenant: string): number {
  let hash = FNV_OFFSET;
  for (let n = 0; n < tenant.length; n += 1) hash = Math.imul(hash ^ tenant.charCodeAt(n), FNV_PRIME);
  return ((hash ^ (hash >>> 16)) >>> 0) % CELL_HASHES;
}

export interface Names {
  readonly prefix: string;
  /** Incarnation of a database that was restored: what the one before left is never read again. */
  readonly database?: string;
}

/** Where the latest beat is kept that was told of, whatever was restored. */
export const beatKey = ({ prefix }: Names): string => `${prefix}{beat}`;

export class BucketKeys {
  /** The hash with everything but digests and cells. It alone says which incarnation there is. */
  readonly state: string;
  readonly #prefix: string;
  /** Of one incarnation, which a bucket has for a long time. */
  #known = { incarnation: '', mark: markOf(''), mixer: new Mixer('') };

  constructor({ prefix, database }: Names, bucket: number) {
    this.#prefix = `${prefix}{${bucket}}`;
    this.state = `${this.#prefix}s${database === undefined ? '' : markOf(database)}`;
  }

  /** One page of an epoch. At most 30 characters: 32 bytes in Redis. */
  page(incarnation: string, epoch: number, page: number): string {
    return `${this.pages(incarnation, epoch)}${page.toString(36)}`;
  }

  /** What the names of an epoch's pages begin with. */
  pages(incarnation: string, epoch: number): string {
    return `${this.#prefix}d${this.#of(incarnation).mark}${epoch.toString(36)}.`;
  }

  /** A bit for each page of an epoch that there is. */
  map(incarnation: string, epoch: number): string {
    return `${this.#prefix}q${this.#of(incarnation).mark}${epoch.toString(36)}`;
  }

  cells(incarnation: string, lineage: string, segment: number, hash: number): string {
    return `${this.#prefix}c${this.#of(incarnation).mark}${segment.toString(36)}.${hash.toString(36)}.${lineage}`;
  }

  /** What is left of an incarnation that is over, until it is freed. */
  left(incarnation: string): string {
    return `${this.#prefix}o${this.#of(incarnation).mark}`;
  }

  mixer(incarnation: string): Mixer {
    return this.#of(incarnation).mixer;
  }

  #of(incarnation: string) {
    if (incarnation !== this.#known.incarnation)
      this.#known = { incarnation, mark: markOf(incarnation), mixer: new Mixer(incarnation) };
    return this.#known;
  }
}
