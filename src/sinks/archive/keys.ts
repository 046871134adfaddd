/** Keys of the archive, the same for every store of objects. */
import type { Gap, Head } from '../../domain/segment.ts';

/** Names of files that are not whole yet begin with this. */
export const TEMPORARY = '.tmp-';

const isPlain = (name: string): boolean => /^[\w.~-]+$/.test(name) && !/^\.+$/.test(name) && !name.startsWith(TEMPORARY);

/** A key is a relative path of plain names: nothing leads out of the archive, nothing looks like a temporary file. */
export const isKey = (key: string): boolean => key.split('/').every(isPlain);

export function demandKey(key: string): void {
  if (!isKey(key)) throw new RangeError(`archive key ${JSON.stringify(key)} is not a relative path of plain names`);
}

const SEGMENT = /^segments\/([^/]+)\/([^/]+?)(?:\.\.[^/]+)?\.avro$/;

/**
 * The object of the segment that starts there. One start, one key: a second sealer meets the first one's object. One that a
 * gap cut short is named by where, too: how far its sealer had read before the log let go is no function of the log.
 */
export const segmentKey = ({ lineage, start }: Pick<Head, 'lineage' | 'start'>, gap?: Gap): string =>
  `segments/${lineage}/${start}${gap === undefined ? '' : `..${gap.from}`}.avro`;

/** Which segment's object a key is; undefined for any other. */
export function segmentOf(key: string): { readonly lineage: string; readonly start: string } | undefined {
  const [, lineage, start] = SEGMENT.exec(key) ?? [];
  return lineage === undefined || start === undefined ? undefined : { lineage, start };
}
