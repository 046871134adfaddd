/** Rows of a Parquet file, read by DuckDB: only the columns that the mapping names, a chunk at a time. */
import { type OpenDuckDb, exactPath, openDuckDb, quoted } from '../../duckdb.ts';
import { parseJsonText } from '../../domain/json.ts';
import { asBadFile } from './kind.ts';
import { demandColumns, type Row, type RowFile, type Wanted } from './row.ts';

/** How a column is asked for, and what its values become. */
interface Reading {
  readonly sql: (column: string) => string;
  readonly value: (value: unknown) => unknown;
}

const asIs = (value: unknown): unknown => value;
const plain: Reading = { sql: (column) => column, value: asIs };
/** Decimals, floats of 32 bits, dates, ids: their digits, made by the database. */
const asText: Reading = { sql: (column) => `CAST(${column} AS VARCHAR)`, value: asIs };
/** In UTC, whatever the time zone of the session; without a zone in the file it has none here. */
const timeAs = (ending: string): Reading => ({
  sql: (column) => `CAST(make_timestamp(epoch_us(${column})) AS VARCHAR)`,
  value: (text) => (typeof text === 'string' ? `${text.replace(' ', 'T')}${ending}` : text),
});
const whole: Reading = {
  sql: (column) => column,
  value: (value) =>
    typeof value !== 'bigint' ? value : Number.isSafeInteger(Number(value)) ? Number(value) : value.toString(),
};
const float: Reading = { sql: asText.sql, value: (text) => (typeof text === 'string' ? Number(text) : text) };
const nested: Reading = {
  sql: (column) => `CAST(to_json(${column}) AS VARCHAR)`,
  value: (text) => (typeof text === 'string' ? parseJsonText(text) : text),
};

function readingOf(type: string): Reading {
  if (/^(?:STRUCT|MAP|UNION)\(|\[\d*\]$/.test(type)) return nested;
  if (/^TIMESTAMP/.test(type)) return timeAs(/WITH TIME ZONE/.test(type) ? 'Z' : '');
  switch (type) {
    case 'VARCHAR':
    case 'BOOLEAN':
    case 'DOUBLE':
    case 'TINYINT':
    case 'SMALLINT':
    case 'INTEGER':
    case 'UTINYINT':
    case 'USMALLINT':
    case 'UINTEGER':
      return plain;
    case 'BIGINT':
    case 'UBIGINT':
      return whole;
    case 'FLOAT':
      return float;
    default:
      return asText;
  }
}

/** Texts of old writers have no mark that says so; and a folder's name is no column. */
const OPTIONS = 'binary_as_string = true, hive_partitioning = false, file_row_number = true';
const ROW = 'file_row_number';

async function typesOf({ connection }: OpenDuckDb, source: string): Promise<ReadonlyMap<string, string>> {
  const described = await connection.runAndReadAll(`DESCRIBE SELECT * EXCLUDE (${ROW}) FROM ${source}`);
  return new Map(described.getRows().map(([name, type]) => [String(name), String(type)]));
}

async function countOf({ connection }: OpenDuckDb, path: string): Promise<number> {
  const counted = await connection.runAndReadAll(`SELECT num_rows FROM parquet_file_metadata(${exactPath(path)})`);
  return Number(counted.getRows()[0]?.[0] ?? 0);
}

export function parquetRows(path: string, bytes: number, wanted: Wanted): RowFile {
  const seen = { rows: 0, of: 0 };
  const read = (): number => (seen.of === 0 ? 0 : Math.floor((bytes * seen.rows) / seen.of));
  return { bytes, read, rows: rowsOf(path, wanted, seen) };
}

async function* rowsOf(path: string, { columns }: Wanted, seen: { rows: number; of: number }): AsyncGenerator<Row> {
  try {
    using open = await openDuckDb(':memory:');
    const source = `read_parquet(${exactPath(path)}, ${OPTIONS})`;
    const types = await typesOf(open, source);
    demandColumns(path, columns, [...types.keys()]);
    seen.of = await countOf(open, path);
    const readings = columns.map((name) => readingOf(types.get(name) ?? ''));
    const asked = columns.map((name, n) => readings[n]?.sql(quoted(name)));
    const result = await open.connection.stream(`SELECT ${[ROW, ...asked].join(', ')} FROM ${source}`);
    for await (const chunk of result.yieldRows()) {
      for (const [number, ...cells] of chunk) {
        seen.rows += 1;
        const values = Object.fromEntries(columns.map((name, n) => [name, readings[n]?.value(cells[n]) ?? null]));
        yield { row: Number(number) + 1, values };
      }
    }
  } catch (cause) {
    throw asBadFile(path, cause, seen.rows === 0 ? '' : ` (after row ${seen.rows})`);
  }
}
