import type { ArchiveFormats } from './segment.ts';

const MIB = 1024 * 1024;

/**
 * The numbered archive formats. A format never changes once it was used: other limits get another number.
 * 1 is for the embedded product (fresh after 2 s), 2 for production (few, large objects). 3 and 4 are the same with version 2 of
 * the record, which has room for the id of a key.
 */
const FRESH = { records: 2000, bytes: MIB, ageMs: 2000, idleMs: 300_000 };
const LARGE = { records: 50_000, bytes: 64 * MIB, ageMs: 60_000, idleMs: 3_600_000 };

export const ARCHIVE_FORMATS: ArchiveFormats = new Map([
  [1, FRESH],
  [2, LARGE],
  [3, FRESH],
  [4, LARGE],
]);
