/** Imports a file: rows to events, in batches, with back-pressure; what cannot be used goes into a file of its own. */
import { createWriteStream, type WriteStream } from 'node:fs';
import { once } from 'node:events';
import { checkEvent, checkTime, type NativeFields, type UsageEvent } from '../../domain/event.ts';
import { FUTURE_BOUND_MS } from '../../domain/epoch.ts';
import { type Fault, isFault } from '../../domain/fault.ts';
import { UnsafeNumber } from '../../domain/json.ts';
import { checkKept, FOR_EVER, type Kept } from '../../domain/kept.ts';
import { MeterError } from '../../errors.ts';
import { type Cell, columnsOf, keyOf, type Mapping, textOf } from './mapping.ts';
import { openRows, type Row } from './rows.ts';

export interface ImportOptions {
  readonly path: string;
  readonly mapping: Mapping;
  /** Resolves when the events are acknowledged. Events already there count for nothing. */
  readonly send: (events: readonly UsageEvent[]) => Promise<void>;
  readonly batch: number;
  /** The file for rows that cannot be used; made only when there is one. */
  readonly rejectsPath: string;
  readonly now: () => number;
  /** What the installation keeps; absent: everything, or a server judges. */
  readonly kept?: Kept;
  readonly onProgress?: (progress: ImportProgress) => void;
  readonly signal?: AbortSignal;
}

export interface ImportProgress {
  readonly bytes: number;
  readonly ofBytes: number;
  readonly rows: number;
}

export interface ImportResult {
  readonly rows: number;
  readonly events: number;
  readonly rejected: number;
}

/** `YYYY-MM-DD HH:MM:SS.fffffff` is UTC unless it says otherwise; further digits than microseconds are cut off. */
export function timeText(text: string): string {
  const trimmed = text.trim();
  return /[Zz]$|[+-]\d\d:?\d\d$/.test(trimmed.slice(10)) ? trimmed : `${trimmed}Z`;
}

const cellOf = (cell: Cell, values: NativeFields): unknown => ('value' in cell ? cell.value : values[cell.column]);

/** The fields of each event of a row. */
export function fieldsOf({ row, values = {} }: Row, mapping: Mapping): NativeFields[] {
  const properties = Object.fromEntries([...mapping.properties].map(([name, cell]) => [name, cellOf(cell, values) ?? null]));
  const subject = mapping.subject === undefined ? undefined : textOf(cellOf(mapping.subject, values));
  return mapping.events.map(({ eventType, quantity }) => {
    const amount = cellOf(quantity, values);
    return {
      tenant_id: textOf(cellOf(mapping.tenant, values)),
      event_type: eventType,
      // A number of NDJSON keeps its text, however long: it stands in a file, nobody can be asked for a string.
      quantity: amount instanceof UnsafeNumber ? amount.text : typeof amount === 'string' ? amount.trim() : amount,
      idempotency_key: keyOf(mapping.idempotencyKey, row, eventType, values),
      event_timestamp: timeText(textOf(values[mapping.time.column])),
      ...(subject === undefined || subject === '' ? {} : { subject }),
      properties,
    };
  });
}

/** Rows that cannot be used, one JSON object a line. */
class Rejects {
  readonly #path: string;
  #stream: WriteStream | undefined;
  count = 0;

  constructor(path: string) {
    this.#path = path;
  }

  async add(row: Row, fault: Pick<Fault, 'code' | 'field' | 'value' | 'reason'>): Promise<void> {
    this.count += 1;
    this.#stream ??= createWriteStream(this.#path);
    const line = `${JSON.stringify({ line: row.line, row: row.row, ...fault })}\n`;
    if (!this.#stream.write(line)) await once(this.#stream, 'drain');
  }

  async close(): Promise<void> {
    if (this.#stream === undefined) return;
    this.#stream.end();
    await once(this.#stream, 'close');
  }
}

function demandColumns(mapping: Mapping, header: readonly string[]): void {
  const missing = columnsOf(mapping).filter((name) => !header.includes(name));
  if (missing.length === 0) return;
  throw new MeterError('BAD_MAPPING', `the file has no column ${missing.join(', ')}`, {
    value: missing.join(', '),
    allowed: header.join(', '),
  });
}

/** What a row gives: its events, or the first fault of any of them. A row is used whole or not at all. */
function eventsOf(row: Row, mapping: Mapping, now: number, kept: Kept): UsageEvent[] | Fault {
  const events: UsageEvent[] = [];
  for (const fields of fieldsOf(row, mapping)) {
    const event = checkEvent(fields);
    if (isFault(event)) return event;
    const wrong = checkTime(event, now) ?? checkKept(event, now + FUTURE_BOUND_MS, kept);
    if (wrong !== undefined) return wrong;
    events.push(event);
  }
  return events;
}

/** Throws BAD_INPUT_FILE, BAD_MAPPING, or what `send` throws. Importing again changes nothing: keys are those of the rows. */
export async function importFile(options: ImportOptions): Promise<ImportResult> {
  const { path, mapping, send, batch, now, kept = FOR_EVER, onProgress, signal } = options;
  const file = await openRows(path, (header) => {
    demandColumns(mapping, header);
  });
  const rejects = new Rejects(options.rejectsPath);
  let [rows, events] = [0, 0];
  let waiting: UsageEvent[] = [];
  const flush = async (): Promise<void> => {
    if (waiting.length > 0) await send(waiting);
    events += waiting.length;
    waiting = [];
    onProgress?.({ bytes: file.read(), ofBytes: file.bytes, rows });
  };
  try {
    for await (const row of file.rows) {
      signal?.throwIfAborted();
      rows += 1;
      const found: UsageEvent[] | Fault =
        row.values === undefined
          ? { code: 'UNDECODABLE', field: '', value: '', reason: row.fault ?? '' }
          : eventsOf(row, mapping, now(), kept);
      if (Array.isArray(found)) waiting.push(...found);
      else await rejects.add(row, found);
      if (waiting.length >= batch) await flush();
    }
    await flush();
  } finally {
    await rejects.close();
  }
  return { rows, events, rejected: rejects.count };
}
