/**
 * How far an import has come, in a file: what is acknowledged is skipped by the next run. A lost or stale checkpoint costs time
 * only: keys make a second copy count for nothing.
 */
import { createHash } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { asError, MeterError } from '../../errors.ts';
import type { InputFile } from './files.ts';
import { headOf } from './kind.ts';

/** Of one file: what tells it from another of the same name, and what is done of it. */
interface Done {
  readonly bytes: number;
  readonly modified: number;
  readonly head: string;
  readonly rows: number;
  readonly isWhole: boolean;
}

interface Saved {
  readonly version: 1;
  /** Mapping and target: another of either makes other events, or the same in another place. */
  readonly identity: string;
  readonly rejectsBytes: number;
  readonly files: Readonly<Record<string, Done>>;
}

/** The rejected rows, of which a saved checkpoint says how many bytes belong to it. */
export interface RejectsFile {
  readonly length: number;
  flush(): Promise<void>;
}

export interface CheckpointOptions {
  readonly path: string;
  readonly identity: string;
  readonly now: () => number;
  readonly note: (text: string) => void;
}

const HEAD_BYTES = 64 * 1024;
/** Between two saves, ms. */
const EVERY_MS = 1000;

const isSaved = (value: unknown): value is Saved =>
  typeof value === 'object' && value !== null && 'version' in value && value.version === 1 && 'files' in value;

const unusable = (path: string, what: string, cause: unknown): MeterError =>
  new MeterError('BAD_CHECKPOINT', `${what} the checkpoint: ${asError(cause).message}`, {
    field: 'checkpoint',
    value: path,
    allowed: 'a file in a folder that can be written, by --checkpoint FILE, or --no-checkpoint',
    cause,
  });

const isMissing = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT';

export class Checkpoint {
  readonly #options: CheckpointOptions;
  /** Acknowledged. */
  readonly #files: Map<string, Done>;
  /** Read, and not acknowledged yet. */
  readonly #read = new Map<string, Done>();
  /** Of the file of rejected rows, as of the last acknowledgement. */
  #rejectsBytes: number;
  #savedAt: number;

  private constructor(options: CheckpointOptions, saved: Pick<Saved, 'files' | 'rejectsBytes'>) {
    this.#options = options;
    this.#files = new Map(Object.entries(saved.files));
    this.#rejectsBytes = saved.rejectsBytes;
    this.#savedAt = options.now();
  }

  /** Throws BAD_CHECKPOINT where it could not be saved later: better before the first row than behind the last. */
  static async open(options: CheckpointOptions): Promise<Checkpoint> {
    const { path, identity, note } = options;
    const saved = await readSaved(path);
    const isOurs = saved?.identity === identity;
    if (saved !== undefined && !isOurs) note(`${path} belongs to another mapping or target: reading from the start`);
    const checkpoint = new Checkpoint(options, isOurs ? saved : { files: {}, rejectsBytes: 0 });
    await checkpoint.#write();
    return checkpoint;
  }

  get rejectsBytes(): number {
    return this.#rejectsBytes;
  }

  /** What an earlier run has done of this file. */
  async doneOf(file: InputFile): Promise<{ readonly rows: number; readonly isWhole: boolean }> {
    const done = this.#files.get(file.name);
    if (done === undefined) return { rows: 0, isWhole: false };
    const isSame = done.bytes === file.bytes && done.modified === file.modified && done.head === (await digestOf(file.path));
    if (isSame) return done;
    this.#options.note(`${file.path} has changed since the checkpoint: reading it from the start`);
    this.#files.delete(file.name);
    return { rows: 0, isWhole: false };
  }

  async opened(file: InputFile, rows: number): Promise<void> {
    const { bytes, modified } = file;
    this.#read.set(file.name, { bytes, modified, head: await digestOf(file.path), rows, isWhole: false });
  }

  read(file: InputFile, rows: number, isWhole: boolean): void {
    const before = this.#read.get(file.name) ?? this.#files.get(file.name);
    if (before !== undefined) this.#read.set(file.name, { ...before, rows, isWhole });
  }

  /** Everything read so far is acknowledged. Saved at most once a second. */
  async acknowledged(rejects: RejectsFile): Promise<void> {
    for (const [name, done] of this.#read) this.#files.set(name, done);
    this.#read.clear();
    this.#rejectsBytes = rejects.length;
    if (Math.abs(this.#options.now() - this.#savedAt) >= EVERY_MS) await this.save(rejects);
  }

  /** As `save`; where nothing is done, nothing is left behind. */
  async leave(rejects: RejectsFile): Promise<void> {
    if (this.#files.size === 0) await this.remove();
    else await this.save(rejects);
  }

  /** The import is finished: the next begins at the start. */
  async remove(): Promise<void> {
    await rm(this.#options.path, { force: true });
  }

  /** What is acknowledged, now. */
  async save(rejects: RejectsFile): Promise<void> {
    await rejects.flush();
    await this.#write();
  }

  async #write(): Promise<void> {
    const { path, identity, now } = this.#options;
    const files = Object.fromEntries(this.#files);
    const saved: Saved = { version: 1, identity, rejectsBytes: this.#rejectsBytes, files };
    const temporary = `${path}.tmp`;
    try {
      await writeFile(temporary, JSON.stringify(saved));
      await rename(temporary, path);
    } catch (cause) {
      throw unusable(path, 'save', cause);
    }
    this.#savedAt = now();
  }
}

const digestOf = async (path: string): Promise<string> =>
  createHash('sha256')
    .update(await headOf(path, HEAD_BYTES))
    .digest('hex');

async function readSaved(path: string): Promise<Saved | undefined> {
  try {
    const saved: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (isSaved(saved)) return saved;
    throw new Error('it is no checkpoint of this version');
  } catch (cause) {
    if (isMissing(cause)) return undefined;
    throw unusable(path, 'read', cause);
  }
}
