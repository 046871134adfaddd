/** `meterfold export`: what is published, as a file: events newest first, or hourly usage by tenant, event type and hour. */
import { type Clock, systemClock } from '../clock.ts';
import { MeterError } from '../errors.ts';
import { type ExportFormat, type ExportRow, FORMATS, type TableName, TABLES } from '../sinks/export/tables.ts';
import { fileWriter, type RowWriter, streamWriter } from '../sinks/export/writer.ts';
import type { Ask, Asker } from './ask.ts';
import { json, type Streams } from './output.ts';

export interface ExportFlags {
  readonly out: string;
  readonly format?: string;
  readonly tenant?: string;
  readonly eventType?: string;
  readonly from?: string;
  readonly to?: string;
  readonly json?: boolean;
}

interface Page {
  readonly next: string | null;
  readonly events?: readonly ExportRow[];
  readonly usage?: readonly ExportRow[];
}

const ROUTES: Readonly<Record<TableName, string>> = { events: '/v1/events', usage: '/v1/usage-hourly' };
const PAGE_ROWS = 1000;
/** Between two lines about the progress, ms. */
const EVERY_MS = 5000;

const badRequest = (field: string, value: string | undefined, allowed: string): MeterError =>
  new MeterError('BAD_REQUEST', `export: ${field} ${value === undefined ? 'is missing' : 'is not valid'}`, {
    field,
    value,
    allowed,
  });

const nameIn = <T extends string>(names: readonly T[], value: string): T | undefined => names.find((name) => name === value);

/** As it was said, else by the name of the file. */
function formatOf({ format, out }: ExportFlags): ExportFormat {
  const ending = /\.(\w+)$/.exec(out)?.[1]?.toLowerCase() ?? '';
  const found = nameIn(FORMATS, format ?? (ending === 'jsonl' ? 'ndjson' : ending));
  if (found === undefined) throw badRequest('format', format, FORMATS.join(', '));
  return found;
}

async function openWriter(table: TableName, flags: ExportFlags, { bytes }: Streams): Promise<RowWriter> {
  const format = formatOf(flags);
  const columns = TABLES[table];
  if (flags.out !== '-') return fileWriter(format, columns, flags.out);
  if (format === 'parquet') throw badRequest('out', '-', 'a file: Parquet begins at its end');
  return streamWriter(format, columns, bytes);
}

function pathOf(table: TableName, flags: ExportFlags, cursor: string | undefined): string {
  const { tenant, eventType, from, to } = flags;
  const params = new URLSearchParams({ limit: String(PAGE_ROWS) });
  for (const [name, value] of Object.entries({ tenant, event_type: eventType, from, to, cursor }))
    if (value !== undefined) params.set(name, value);
  return `${ROUTES[table]}?${params.toString()}`;
}

async function* pagesOf(table: TableName, flags: ExportFlags, asker: Asker): AsyncGenerator<readonly ExportRow[]> {
  let cursor: string | undefined;
  do {
    const page = await asker.get<Page>(pathOf(table, flags, cursor));
    yield page[table] ?? [];
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
}

/** Says now and then how many rows are written. */
function counter({ err }: Streams, clock: Clock): (rows: number) => void {
  let said = clock.now();
  return (rows) => {
    if (Math.abs(clock.now() - said) < EVERY_MS) return;
    said = clock.now();
    err(`${rows} rows written`);
  };
}

export async function exportCommand(
  table: TableName,
  flags: ExportFlags,
  ask: Ask,
  streams: Streams,
  stop: AbortSignal,
): Promise<number> {
  const writer = await openWriter(table, flags, streams);
  let rows = 0;
  try {
    const told = counter(streams, systemClock);
    await ask(async (asker) => {
      for await (const page of pagesOf(table, flags, asker)) {
        stop.throwIfAborted();
        await writer.write(page);
        rows += page.length;
        told(rows);
      }
    });
    await writer.finish();
  } finally {
    await writer.close();
  }
  report(table, flags, rows, streams);
  return 0;
}

/** Where the rows go to the standard output, nothing else does. */
function report(table: TableName, { out, json: asJson }: ExportFlags, rows: number, streams: Streams): void {
  const what = table === 'events' ? 'events' : 'hours of usage';
  if (out === '-') streams.err(`${rows} ${what} exported`);
  else streams.out(asJson === true ? json({ table, rows, out }) : `${rows} ${what} exported to ${out}`);
}
