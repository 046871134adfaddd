/**
 * An object of the archive: the container of a segment (src/domain/avro.ts), its blocks compressed by the codec of its archive
 * format. Block by block and off the main thread, so that other lanes go on meanwhile.
 */
import { MeterError } from '../errors.ts';
import {
  type ArchiveRecord,
  type Block,
  blockType,
  damaged,
  decodeAt,
  decodeSegment,
  encodeSegment,
  type Header,
  headerType,
  MAGIC,
  type SegmentHeader,
} from './avro.ts';
import { CODECS } from './codec.ts';
import { codecOf } from './formats.ts';
import { buffer } from './wire.ts';

/** The bytes of a segment's object: a function of the arguments, and with a codec also of its library's version. */
export async function encodeObject(records: readonly ArchiveRecord[], header: SegmentHeader): Promise<Uint8Array> {
  const plain = encodeSegment(records, header);
  const codec = codecOf(header.format);
  const squeeze = CODECS.get(codec);
  return squeeze === undefined ? plain : rewrite(buffer(plain), codec, squeeze.pack);
}

/** The records of an object of any archive format. Throws ARCHIVE_DAMAGED for anything else. */
export async function decodeObject(bytes: Uint8Array): Promise<ArchiveRecord[]> {
  const file = buffer(bytes);
  const squeeze = CODECS.get(codecNamed(file));
  if (squeeze === undefined) return decodeSegment(bytes);
  try {
    return decodeSegment(await rewrite(file, 'null', squeeze.unpack));
  } catch (error) {
    throw error instanceof MeterError ? error : damaged('a block cannot be decompressed', error);
  }
}

/** Nothing where it is no container: who decodes it says so. */
function codecNamed(file: Buffer): string {
  if (!file.subarray(0, MAGIC.length).equals(MAGIC)) return '';
  try {
    return headerOf(file).meta['avro.codec']?.toString() ?? '';
  } catch (error) {
    throw error instanceof MeterError ? error : damaged('its header breaks off', error);
  }
}

const headerOf = (file: Buffer): Header => decodeAt(headerType, file, MAGIC.length, 'its header').value as Header;

/** The same container with every block changed, and its codec named so. */
async function rewrite(file: Buffer, codec: string, change: (bytes: Buffer) => Promise<Buffer>): Promise<Buffer> {
  const { value, next } = decodeAt(headerType, file, MAGIC.length, 'its header');
  const { meta, sync } = value as Header;
  const parts = [MAGIC, headerType.toBuffer({ meta: { ...meta, 'avro.codec': Buffer.from(codec) }, sync })];
  for (let at = next; at < file.length;) {
    const read = decodeAt(blockType, file, at, 'its block');
    const block = read.value as Block;
    parts.push(blockType.toBuffer({ ...block, data: await change(block.data) }));
    at = read.next;
  }
  return Buffer.concat(parts);
}
