import { at, lineage } from '../../src/conformance/places.ts';
import type { Batch, Lineage, LogRecord, Position, Reader, Source } from '../../src/contract.ts';
import { END } from '../../src/contract.ts';
import { MeterError } from '../../src/errors.ts';

export { at, lineage };

export const record = (offset: number, arrival = offset, text = 'x'): LogRecord => ({
  position: at(offset),
  arrival,
  key: 'acme',
  value: new TextEncoder().encode(text),
});
export const tick = (offset: number, arrival = offset): LogRecord => ({
  ...record(offset, arrival, ''),
  control: { type: 'tick' },
});

/** What a read does instead of returning records. */
export const DOWN = 'DOWN';
export const LOST = 'LOST';

/** A source whose every read is written down: numbers are how many records it returns. */
export class ScriptedSource implements Source {
  readonly name = 'scripted';
  readonly log: LogRecord[];
  readonly script: (number | typeof DOWN | typeof LOST)[];
  closed = false;
  /** Records before it are gone. */
  first = 0;
  reads = 0;
  open_ = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(log: LogRecord[], script: (number | typeof DOWN | typeof LOST)[] = []) {
    this.log = log;
    this.script = script;
  }

  lineages(): Promise<readonly Lineage[]> {
    return Promise.resolve([lineage()]);
  }

  push(...records: LogRecord[]): void {
    this.log.push(...records);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  close(): void {
    this.closed = true;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  after(position: Position): Position {
    return at(Number(position) + 1);
  }

  bounds(): Promise<{ first: Position; end: Position }> {
    return Promise.resolve({ first: at(this.first), end: this.closed ? END : at(this.log.length) });
  }

  trim(): Promise<number> {
    return Promise.resolve(0);
  }

  open(id: string, from: Position): Reader {
    let position = from;
    this.open_ += 1;
    return {
      next: async (stop) => {
        const batch = await this.#read(id, position, stop);
        if (batch !== undefined) position = batch.next;
        return batch;
      },
      [Symbol.asyncDispose]: () => {
        this.open_ -= 1;
        return Promise.resolve();
      },
    };
  }

  async #read(id: string, from: Position, stop: AbortSignal): Promise<Batch | undefined> {
    for (;;) {
      if (stop.aborted) return undefined;
      const start = from === END ? this.log.length : Number(from);
      if (start < this.first) throw new MeterError('LOG_TRIMMED', `read the scripted log at ${from}: it begins later`);
      if (start < this.log.length || this.closed) return this.#batch(id, from, start);
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        stop.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }

  #batch(id: string, from: Position, start: number): Batch {
    this.reads += 1;
    const step = this.script.shift() ?? 2;
    if (step === DOWN) throw new MeterError('LOG_UNAVAILABLE', 'read the scripted log: down');
    if (step === LOST) return { lineage: id, from: at(start + 1), next: at(start + 2), records: [] };
    const records = this.log.slice(start, start + step);
    const end = start + records.length;
    return { lineage: id, from, next: this.closed && end === this.log.length ? END : at(end), records };
  }
}
