/** Imports a file or a folder: rows to events, in batches, with back-pressure; what cannot be used goes into a file of its own. */
import type { Edge } from '../../domain/edge.ts';
import type { UsageEvent } from '../../domain/event.ts';
import { isFault } from '../../domain/fault.ts';
import type { Kept } from '../../domain/kept.ts';
import { Checkpoint, type CheckpointOptions } from './checkpoint.ts';
import { type InputFile, inputOf } from './files.ts';
import { columnsOf, demandFileInKey, type Mapping } from './mapping.ts';
import { Rejects } from './rejects.ts';
import type { Row, RowFile } from './row.ts';
import { eventsOf } from './row-events.ts';
import { openRows } from './rows.ts';

export interface ImportOptions {
  readonly path: string;
  readonly mapping: Mapping;
  /** Resolves when the events are acknowledged. Events already there count for nothing. */
  readonly send: (events: readonly UsageEvent[]) => Promise<void>;
  readonly batch: number;
  /** The file for rows that cannot be used; made only when there is one. */
  readonly rejectsPath: string;
  /** Where to go on, and where to note what is done; removed behind a finished import. */
  readonly checkpoint?: CheckpointOptions;
  /** Resolves when what was sent is where it stays: before that no import is finished. */
  readonly settled?: () => Promise<void>;
  readonly now: () => number;
  /** What happens to an event before the log. Absent: nothing, or a server does it. */
  readonly edge?: Edge;
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
  readonly files: number;
  /** Read by this run. */
  readonly rows: number;
  readonly events: number;
  /** Events that a processor of this process dropped, by code. */
  readonly filtered: Readonly<Record<string, number>>;
  readonly rejected: number;
  /** Rows and whole files that an earlier run had done. */
  readonly skippedRows: number;
  readonly skippedFiles: number;
}

/**
 * Throws BAD_INPUT_FILE, BAD_MAPPING, BAD_CHECKPOINT, BAD_OUTPUT, or what `send` throws. Importing again changes nothing: keys are
 * those of the rows.
 */
export async function importPath(options: ImportOptions): Promise<ImportResult> {
  const { isFolder, files } = await inputOf(options.path);
  if (isFolder) demandFileInKey(options.mapping);
  const checkpoint = options.checkpoint && (await Checkpoint.open(options.checkpoint));
  const work = new Import(options, files, checkpoint);
  try {
    for (const file of files) await work.take(file);
    await work.finish();
    await options.settled?.();
  } catch (error) {
    await work.giveUp();
    throw error;
  }
  await checkpoint?.remove();
  return work.result();
}

/** One run over all files: batches reach over the ends of files, because folders often hold small ones. */
class Import {
  readonly #options: ImportOptions;
  readonly #ofBytes: number;
  readonly #files: number;
  readonly #checkpoint: Checkpoint | undefined;
  readonly #rejects: Rejects;
  #waiting: UsageEvent[] = [];
  #bytesBefore = 0;
  readonly #filtered = new Map<string, number>();
  #rows = 0;
  #events = 0;
  #skippedRows = 0;
  #skippedFiles = 0;

  constructor(options: ImportOptions, files: readonly InputFile[], checkpoint: Checkpoint | undefined) {
    this.#checkpoint = checkpoint;
    this.#options = options;
    this.#files = files.length;
    this.#ofBytes = files.reduce((sum, file) => sum + file.bytes, 0);
    this.#rejects = new Rejects(options.rejectsPath, checkpoint?.rejectsBytes ?? 0);
  }

  async take(file: InputFile): Promise<void> {
    const { mapping } = this.#options;
    const done = (await this.#checkpoint?.doneOf(file)) ?? { rows: 0, isWhole: false };
    if (done.isWhole) {
      this.#skippedFiles += 1;
      this.#skippedRows += done.rows;
    } else {
      const opened = await openRows(file.path, { columns: columnsOf(mapping), isGuarded: mapping.isGuarded });
      await this.#checkpoint?.opened(file, done.rows);
      await this.#readAll(file, opened, done.rows);
    }
    this.#bytesBefore += file.bytes;
  }

  async #readAll(file: InputFile, opened: RowFile, skip: number): Promise<void> {
    const { signal, batch } = this.#options;
    let rows = 0;
    for await (const row of opened.rows) {
      signal?.throwIfAborted();
      rows += 1;
      if (rows <= skip) {
        this.#skippedRows += 1;
        continue;
      }
      await this.#use(file, row);
      if (this.#waiting.length < batch) continue;
      this.#checkpoint?.read(file, rows, false);
      await this.#flush(opened.read());
    }
    this.#checkpoint?.read(file, rows, true);
  }

  async #use(file: InputFile, row: Row): Promise<void> {
    this.#rows += 1;
    const found =
      row.values === undefined
        ? { code: 'UNDECODABLE' as const, field: '', value: '', reason: row.fault ?? '' }
        : eventsOf(file.name, row, this.#options);
    if (isFault(found)) {
      await this.#rejects.add({ file: file.name, line: row.line, row: row.row }, found);
      return;
    }
    this.#waiting.push(...found.events);
    for (const code of found.filtered) this.#filtered.set(code, (this.#filtered.get(code) ?? 0) + 1);
  }

  /** Sends what waits; then everything read so far is done. */
  async #flush(bytesOfFile: number): Promise<void> {
    const { send, onProgress } = this.#options;
    if (this.#waiting.length > 0) await send(this.#waiting);
    this.#events += this.#waiting.length;
    this.#waiting = [];
    await this.#checkpoint?.acknowledged(this.#rejects);
    onProgress?.({ bytes: this.#bytesBefore + bytesOfFile, ofBytes: this.#ofBytes, rows: this.#rows });
  }

  async finish(): Promise<void> {
    await this.#flush(0);
    await this.#rejects.flush();
    await this.#checkpoint?.save(this.#rejects);
    await this.#rejects.close();
  }

  /** Notes what is done all the same. What went wrong first is what the caller is told. */
  async giveUp(): Promise<void> {
    await this.#rejects.flush().catch(() => undefined);
    await this.#checkpoint?.leave(this.#rejects).catch(() => undefined);
    await this.#rejects.close();
  }

  result(): ImportResult {
    return {
      files: this.#files,
      rows: this.#rows,
      events: this.#events,
      filtered: Object.fromEntries(this.#filtered),
      rejected: this.#rejects.count,
      skippedRows: this.#skippedRows,
      skippedFiles: this.#skippedFiles,
    };
  }
}
