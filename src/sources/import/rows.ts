/** Rows of a file, streamed, whatever its format. */
import { avroRows } from './avro-rows.ts';
import { kindOf } from './kind.ts';
import { parquetRows } from './parquet-rows.ts';
import type { RowFile, Wanted } from './row.ts';
import { textRows } from './text-rows.ts';

/** Throws BAD_INPUT_FILE. */
export async function openRows(path: string, wanted: Wanted): Promise<RowFile> {
  const kind = await kindOf(path);
  switch (kind.format) {
    case 'parquet':
      return parquetRows(path, kind.bytes, wanted);
    case 'avro':
      return avroRows(path, kind.bytes, wanted);
    case 'csv':
    case 'json':
      return textRows(path, kind, wanted);
  }
}
