/** Rows that cannot be used, one JSON object a line, in a file that is made with the first of them. */
import { type FileHandle, open } from 'node:fs/promises';
import type { Fault } from '../../domain/fault.ts';
import { asError, MeterError } from '../../errors.ts';

export type RowFault = Pick<Fault, 'code' | 'field' | 'value' | 'reason'>;
export interface RejectPlace {
  readonly file: string;
  readonly line?: number;
  readonly row: number;
}

/** Lines are written together, from so many characters on. */
const WRITTEN_TOGETHER = 64 * 1024;

export class Rejects {
  readonly #path: string;
  #file: FileHandle | undefined;
  #waiting = '';
  /** Where the next line goes. */
  #bytes: number;
  count = 0;

  /** What stands in the file before `keep` stays: an earlier run wrote it. */
  constructor(path: string, keep: number) {
    this.#path = path;
    this.#bytes = keep;
  }

  async add(place: RejectPlace, fault: RowFault): Promise<void> {
    this.count += 1;
    this.#waiting += `${JSON.stringify({ ...place, ...fault })}\n`;
    if (this.#waiting.length >= WRITTEN_TOGETHER) await this.flush();
  }

  /** Bytes of the file, with what waits to be written. */
  get length(): number {
    return this.#bytes + Buffer.byteLength(this.#waiting);
  }

  /** Throws BAD_OUTPUT. */
  async flush(): Promise<void> {
    if (this.#waiting === '') return;
    const text = Buffer.from(this.#waiting);
    this.#waiting = '';
    try {
      this.#file ??= await this.#open();
      await this.#file.write(text, 0, text.length, this.#bytes);
    } catch (cause) {
      throw new MeterError('BAD_OUTPUT', `write the rejected rows: ${asError(cause).message}`, {
        field: 'rejects',
        value: this.#path,
        allowed: 'a file that can be written, by --rejects FILE',
        cause,
      });
    }
    this.#bytes += text.length;
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }

  async #open(): Promise<FileHandle> {
    if (this.#bytes === 0) return open(this.#path, 'w');
    const file = await open(this.#path, 'a+').then(async (made) => (await made.close(), open(this.#path, 'r+')));
    const { size } = await file.stat();
    // A file that was taken away since begins anew.
    this.#bytes = Math.min(this.#bytes, size);
    await file.truncate(this.#bytes);
    return file;
  }
}
