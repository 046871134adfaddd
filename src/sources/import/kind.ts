/** What a file is: by its first bytes, else by its name. */
import { open, stat } from 'node:fs/promises';
import { asError, MeterError } from '../../errors.ts';

export type TextKind = 'csv' | 'json';
export type FileKind =
  | { readonly format: 'parquet' | 'avro'; readonly bytes: number }
  | { readonly format: TextKind; readonly isGzip: boolean; readonly bytes: number };

const MAGIC = {
  parquet: Buffer.from('PAR1'),
  avro: Buffer.from([0x4f, 0x62, 0x6a, 0x01]),
  gzip: Buffer.from([0x1f, 0x8b]),
} as const;
const LONGEST = 4;

/** Names that a folder is searched for. */
const KNOWN = /\.(?:csv|ndjson|jsonl|json)(?:\.gz)?$|\.(?:avro|parquet)$/i;
/** What an import itself leaves beside its source. */
const OWN = /\.(?:rejects\.ndjson|checkpoint\.json)$/i;
export const isKnownName = (name: string): boolean => KNOWN.test(name) && !OWN.test(name) && !name.startsWith('.');

export const badFile = (path: string, what: string, cause?: unknown): MeterError =>
  new MeterError('BAD_INPUT_FILE', `read ${path}: ${what}`, { cause });

/** Anything that reading a file threw, as BAD_INPUT_FILE; what is a MeterError already stays. */
export const asBadFile = (path: string, thrown: unknown, where = ''): MeterError =>
  thrown instanceof MeterError ? thrown : badFile(path, `${firstLine(asError(thrown).message)}${where}`, thrown);

const firstLine = (text: string): string => text.split('\n', 1)[0] ?? '';

/** The first bytes of a file, fewer where it is shorter. */
export async function headOf(path: string, length: number): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** Throws BAD_INPUT_FILE for what cannot be read. */
export async function kindOf(path: string): Promise<FileKind> {
  try {
    const bytes = (await stat(path)).size;
    const head = await headOf(path, LONGEST);
    const begins = (magic: Buffer): boolean => head.subarray(0, magic.length).equals(magic);
    if (begins(MAGIC.parquet) || (/\.parquet$/i.test(path) && !begins(MAGIC.avro))) return { format: 'parquet', bytes };
    if (begins(MAGIC.avro) || /\.avro$/i.test(path)) return { format: 'avro', bytes };
    const format = /\.(?:ndjson|jsonl|json)(?:\.gz)?$/i.test(path) ? 'json' : 'csv';
    return { format, isGzip: begins(MAGIC.gzip), bytes };
  } catch (cause) {
    throw asBadFile(path, cause);
  }
}
