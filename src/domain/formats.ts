import type { ArchiveFormat, ArchiveFormats, Codec } from './segment.ts';

const MIB = 1024 * 1024;

/**
 * The numbered archive formats. A format never changes once it was used: other limits get another number.
 * 1 is for the embedded product (fresh after 2 s), 2 for production (few, large objects). 3 and 4 are the same with version 2 of
 * the record, which has room for the id of a key. 5 to 7 are 4 with compressed blocks, for stores that are paid by the byte.
 */
const FRESH = { records: 2000, bytes: MIB, ageMs: 2000, idleMs: 300_000 };
const LARGE = { records: 50_000, bytes: 64 * MIB, ageMs: 60_000, idleMs: 3_600_000 };

export const ARCHIVE_FORMATS: ArchiveFormats = new Map<number, ArchiveFormat>([
  [1, FRESH],
  [2, LARGE],
  [3, FRESH],
  [4, LARGE],
  [5, { ...LARGE, codec: 'snappy' }],
  [6, { ...LARGE, codec: 'zstandard' }],
  [7, { ...LARGE, codec: 'deflate' }],
]);

export const codecOf = (format: number): Codec => ARCHIVE_FORMATS.get(format)?.codec ?? 'null';
