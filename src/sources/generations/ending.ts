/** Readers of lineages that end where their first closing record lies, and of what lies behind that. */
import { type Batch, END, type Position, type Reader } from '../../contract.ts';

export interface Ending {
  readonly lineage: string;
  readonly from: Position;
  /** Where it ends, once that is known. A reader notices it by itself where it reads the record. */
  readonly end: () => Position | undefined;
  readonly open: () => Reader;
}

/** Reads up to the first record that closes the lineage, and no further: what lies behind it is another lineage. */
export class EndingReader implements Reader {
  readonly #of: Ending;
  #at: Position;
  #reader: Reader | undefined;

  constructor(of: Ending) {
    this.#of = of;
    this.#at = of.from;
  }

  async next(stop: AbortSignal): Promise<Batch | undefined> {
    const { lineage, end, open } = this.#of;
    const from = this.#at;
    if (from >= (end() ?? END)) return this.#over({ lineage, from, next: END, records: [] });
    this.#reader ??= open();
    const batch = await this.#reader.next(stop);
    if (batch === undefined) return undefined;
    const close = batch.records.findIndex(({ control }) => control?.type === 'close');
    if (close >= 0) return this.#over({ ...batch, next: END, records: batch.records.slice(0, close) });
    this.#at = batch.next;
    return batch;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader?.[Symbol.asyncDispose]();
  }

  #over(batch: Batch): Batch {
    this.#at = END;
    return batch;
  }
}

/** A reader under the name of another lineage. */
export const renamed = (reader: Reader, lineage: string): Reader => ({
  next: async (stop) => {
    const batch = await reader.next(stop);
    return batch && { ...batch, lineage };
  },
  [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
});
