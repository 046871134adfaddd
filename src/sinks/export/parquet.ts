/** Rows as Parquet: gathered in a DuckDB file, so that memory stays bounded, and copied out at the end. */
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { DuckDBAppender } from '@duckdb/node-api';
import { literal, type OpenDuckDb, openDuckDb, quoted } from '../../duckdb.ts';
import { parseSum, PRECISION, SCALE_DIGITS } from '../../domain/decimal.ts';
import { parseTime } from '../../domain/time.ts';
import { MeterError } from '../../errors.ts';
import type { Column, ColumnKind, ExportRow } from './tables.ts';

const TYPES: Readonly<Record<ColumnKind, string>> = {
  text: 'VARCHAR',
  decimal: `DECIMAL(${String(PRECISION)}, ${String(SCALE_DIGITS)})`,
  count: 'BIGINT',
  time: 'TIMESTAMP WITH TIME ZONE',
  json: 'VARCHAR',
};
const LIMIT = 10n ** BigInt(PRECISION);

function demandFits(name: string, scaled: bigint, text: string): void {
  if (scaled < LIMIT && scaled > -LIMIT) return;
  throw new MeterError('BAD_OUTPUT', `write Parquet: ${name} has more than ${String(PRECISION)} digits`, {
    field: name,
    value: text,
    allowed: 'csv or ndjson, whose decimals may be longer',
  });
}

/** One cell; what comes as text is never a float on its way. */
function append({ duckdb }: OpenDuckDb, appender: DuckDBAppender, { name, kind }: Column, value: unknown): void {
  if (value === null || value === undefined) {
    appender.appendNull();
    return;
  }
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  switch (kind) {
    case 'text':
    case 'json':
      appender.appendVarchar(text);
      return;
    case 'count':
      appender.appendBigInt(BigInt(text));
      return;
    case 'time':
      appender.appendTimestampTZ(new duckdb.DuckDBTimestampTZValue(BigInt(parseTime(text) ?? 0)));
      return;
    case 'decimal': {
      const scaled = parseSum(text);
      demandFits(name, scaled, text);
      appender.appendDecimal(new duckdb.DuckDBDecimalValue(scaled, PRECISION, SCALE_DIGITS));
    }
  }
}

export interface ParquetMaking {
  write(rows: readonly ExportRow[]): Promise<void>;
  finish(): Promise<void>;
  close(): Promise<void>;
}

/** `folder` is for what is needed on the way, `path` for the Parquet file. */
export async function openParquet(columns: readonly Column[], folder: string, path: string): Promise<ParquetMaking> {
  const open = await openDuckDb(join(folder, 'rows.duckdb'), join(folder, 'spill'));
  const names = columns.map(({ name, kind }) => `${quoted(name)} ${TYPES[kind]}`).join(', ');
  await open.connection.run(`CREATE TABLE rows (${names})`);
  const appender = await open.connection.createAppender('rows');
  let isOpen = true;
  let isAppending = true;
  return {
    write: async (rows) => {
      for (const row of rows) {
        for (const column of columns) append(open, appender, column, row[column.name]);
        appender.endRow();
      }
      // Values of the binding are freed by the event loop only: without a turn of it they would gather.
      await setImmediate();
    },
    finish: async () => {
      appender.closeSync();
      isAppending = false;
      await open.connection.run(`COPY rows TO ${literal(path)} (FORMAT parquet, COMPRESSION zstd)`);
    },
    close: () => {
      if (!isOpen) return Promise.resolve();
      isOpen = false;
      // Rows that nobody will see need not be written first.
      if (isAppending) appender.clear();
      if (isAppending) appender.closeSync();
      open[Symbol.dispose]();
      return Promise.resolve();
    },
  };
}
