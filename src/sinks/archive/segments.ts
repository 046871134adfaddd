/** Sealed segments as others read them: a manifest row and the records of its object, checked before they are believed. */
import { createHash } from 'node:crypto';
import type { Archive, Catalog } from '../../contract.ts';
import type { ArchiveRecord } from '../../domain/avro.ts';
import { decodeObject } from '../../domain/object.ts';
import type { SegmentRow } from '../../domain/segment.ts';
import { MeterError } from '../../errors.ts';

/** Rows fetched at a time. */
const PAGE = 256;

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Throws ARCHIVE_MISSING or ARCHIVE_DAMAGED, naming the object. */
export async function readSegment(archive: Archive, row: SegmentRow): Promise<ArchiveRecord[]> {
  if (row.object === null) return [];
  const { key } = row.object;
  const bytes = await archive.get(key);
  const found = sha256(bytes);
  if (found !== row.object.sha256) {
    throw new MeterError('ARCHIVE_DAMAGED', `read ${key}: its sha-256 is ${found}, the manifest says ${row.object.sha256}`);
  }
  return decodeObject(bytes);
}

/** All rows of a lineage from a segment number on. */
export async function* manifestRows(
  catalog: Pick<Catalog, 'manifest'>,
  lineage: string,
  from = 0,
): AsyncGenerator<SegmentRow> {
  for (let next = from; ;) {
    const rows = await catalog.manifest(lineage, next, PAGE);
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) return;
    next = last.segment + 1;
  }
}
