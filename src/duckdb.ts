/** DuckDB in this process: for Parquet alone, and loaded only when a file of it is read or written. */
import type * as DuckDb from '@duckdb/node-api';
import { MeterError } from './errors.ts';

/** One thread keeps rows in the order of the file, and the limit keeps other work of the machine alive. */
const SETTINGS = {
  threads: '1',
  memory_limit: '256MB',
  // What is not built in stays away: nothing is downloaded by reading a file.
  autoinstall_known_extensions: 'false',
  autoload_known_extensions: 'false',
};

export interface OpenDuckDb extends Disposable {
  readonly duckdb: typeof DuckDb;
  readonly connection: DuckDb.DuckDBConnection;
}

async function load(): Promise<typeof DuckDb> {
  try {
    return await import('@duckdb/node-api');
  } catch (cause) {
    throw new MeterError('PARQUET_UNAVAILABLE', 'load DuckDB: it has no build for this machine', {
      allowed: 'CSV, NDJSON or Avro, or a machine that DuckDB is built for',
      cause,
    });
  }
}

/** In memory, or in a file of its own. What does not fit into memory spills into `spillDir`. */
export async function openDuckDb(path: string, spillDir?: string): Promise<OpenDuckDb> {
  const duckdb = await load();
  const settings: Record<string, string> = spillDir === undefined ? SETTINGS : { ...SETTINGS, temp_directory: spillDir };
  const instance = await duckdb.DuckDBInstance.create(path, settings);
  const connection = await instance.connect();
  const close = (): void => {
    connection.closeSync();
    instance.closeSync();
  };
  return { duckdb, connection, [Symbol.dispose]: close };
}

/** A text as SQL writes it. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
/** A name as SQL writes it. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
/** A path that means this one file: DuckDB takes `*`, `?` and `[` for patterns. */
export const exactPath = (path: string): string => literal(path.replaceAll(/[*?[]/g, '[$&]'));
