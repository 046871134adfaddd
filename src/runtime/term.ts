/**
 * One term of a lineage: all sinks are open, the log is read from one row, every batch goes to every sink in order. A term
 * ends when the source ends, when asked to stop, or when a sink wants to be opened anew.
 */
import type {
  At,
  Batch,
  Judged,
  Lineage,
  LogRecord,
  Placed,
  PlacedBatch,
  Position,
  RuleSets,
  Sink,
  Source,
} from '../contract.ts';
import type { Contribution } from '../domain/cell.ts';
import { type ArchiveFormats, type Closed, type Head, SegmentCounter } from '../domain/segment.ts';
import { asError, MeterError } from '../errors.ts';
import { demandContinuation, isEnd } from './resume.ts';
import { Unsettled } from './unsettled.ts';

export type Metered = Judged & { readonly contributions: readonly Contribution[] };

export interface TermPorts {
  readonly source: Source;
  readonly sinks: readonly Sink[];
  readonly formats: ArchiveFormats;
  /** The pure steps of the topology, fresh for one term. */
  readonly processor: () => (record: LogRecord, at: At) => Metered;
  readonly ruleSets: Pick<RuleSets, 'demand' | 'refresh'> & { readonly newest: { readonly version: number } };
  /** Records read and not yet settled by every sink. */
  readonly maxUnsettled: number;
  /** Every sink has taken what lies before this position. */
  readonly taken?: (before: Position) => void;
}

/** `trimmed`: the log no longer holds what was to be read. It is on record, or sealed and waits to be folded. */
export type TermEnd = 'ended' | 'stopped' | 'reopen' | 'trimmed';

/** Gives each record its segment, its verdict by the rules in force there, and the batch the segments that close in it. */
class Placing {
  readonly #lineage: Lineage;
  readonly #counter: SegmentCounter;
  readonly #process: ReturnType<TermPorts['processor']>;
  readonly #ruleSets: TermPorts['ruleSets'];

  constructor({ formats, source, processor, ruleSets }: TermPorts, lineage: Lineage, row: Head) {
    this.#lineage = lineage;
    this.#counter = new SegmentCounter(row, formats, (position) => source.after(position));
    this.#process = processor();
    this.#ruleSets = ruleSets;
  }

  async place(batch: Batch): Promise<PlacedBatch> {
    for (const { control } of batch.records) if (control?.type === 'rules') await this.#ruleSets.demand(control.rules);
    const closed: Closed[] = [];
    const keep = (segment: Closed): void => void closed.push(segment);
    const records = batch.records.map((record) => this.#place(record, keep));
    if (isEnd(batch.next)) this.#counter.end(keep);
    return { ...batch, records, arrival: this.#counter.arrival, rules: this.#counter.rules, closed };
  }

  /** What lies between is gone. */
  gap(from: Position, next: Position, places: number | null): PlacedBatch {
    const closed = this.#counter.gap({ from, places }, next, this.#ruleSets.newest.version);
    const { arrival, rules } = this.#counter;
    return { lineage: this.#lineage.id, from, next, records: [], arrival, rules, closed: [closed], isGap: true };
  }

  #place(record: LogRecord, keep: (segment: Closed) => void): Placed {
    const [lineage, counter] = [this.#lineage, this.#counter];
    const { segment, rules } = counter.place(record, keep);
    const { arrival } = counter;
    const judged = this.#process(record, { lineage, segment, rules });
    const { event, verdict, contributions } = judged;
    if (verdict !== 'ok' || event === undefined) return { ...judged, segment, rules, arrival };
    // Nearly every record: written out, it costs a fraction of a copy.
    return { record: judged.record, event, verdict, contributions, segment, rules, arrival };
  }
}

/** The tail of each sink's work. A sink gets one batch at a time; sinks do not wait for each other. */
class Deliveries {
  readonly #sinks: readonly Sink[];
  readonly #tails: Promise<void>[];
  readonly #failed = new AbortController();
  #error: Error | undefined;

  constructor(sinks: readonly Sink[]) {
    this.#sinks = sinks;
    this.#tails = sinks.map(() => Promise.resolve());
  }

  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  push(batch: PlacedBatch, settled: () => void): void {
    let open = this.#sinks.length;
    this.#sinks.forEach((sink, n) => {
      const before = this.#tails[n] ?? Promise.resolve();
      this.#tails[n] = before
        .then(() => this.#write(sink, batch))
        .finally(() => {
          open -= 1;
          if (open === 0) settled();
        });
    });
  }

  /** Waits for what is under way; answers whether all of it was taken. Throws what a sink threw. */
  async finish(): Promise<boolean> {
    await Promise.all(this.#tails);
    if (this.#error !== undefined) throw this.#error;
    return !this.failed.aborted;
  }

  async #write(sink: Sink, batch: PlacedBatch): Promise<void> {
    if (this.failed.aborted) return;
    try {
      if ((await sink.write(batch)) === 'reopen') this.#failed.abort();
    } catch (error) {
      this.#error ??= asError(error);
      this.#failed.abort();
    }
  }
}

const isTrimmed = (error: unknown): error is MeterError => error instanceof MeterError && error.code === 'LOG_TRIMMED';

interface Trimmed {
  readonly lineage: Lineage;
  readonly at: Position;
  readonly error: MeterError;
}

/** Tells the sinks what the log no longer holds. Throws that where none of them keeps a record of it. */
async function passOver(ports: TermPorts, placing: Placing, deliveries: Deliveries, trimmed: Trimmed): Promise<TermEnd> {
  const { source, ruleSets } = ports;
  const { lineage, at, error } = trimmed;
  const { first } = await source.bounds(lineage.id);
  // The node that answered was behind the others.
  if (first <= at) return 'trimmed';
  // Behind that look: whatever was announced in a record that is gone had been declared before.
  await ruleSets.refresh();
  deliveries.push(placing.gap(at, first, source.places?.(at, first) ?? null), () => undefined);
  if (await deliveries.finish()) throw error;
  return 'trimmed';
}

/** Reads from `row` until the term ends. Throws what the source or a sink threw, once nothing is under way any more. */
export async function runTerm(ports: TermPorts, lineage: Lineage, row: Head, stop: AbortSignal): Promise<TermEnd> {
  await ports.ruleSets.demand(row.rules);
  const placing = new Placing(ports, lineage, row);
  const deliveries = new Deliveries(ports.sinks);
  const unsettled = new Unsettled(ports.maxUnsettled);
  const over = AbortSignal.any([stop, deliveries.failed]);
  await using reader = ports.source.open(lineage.id, row.start);
  let at = row.start;
  try {
    while (!isEnd(at)) {
      await unsettled.room();
      const batch = over.aborted ? undefined : await reader.next(over);
      if (batch === undefined) break;
      demandContinuation(batch, at);
      at = batch.next;
      unsettled.add(batch.records.length);
      deliveries.push(await placing.place(batch), () => {
        unsettled.settle(batch.records.length);
        if (!deliveries.failed.aborted) ports.taken?.(batch.next);
      });
    }
  } catch (error) {
    // What was handed over is finished first: a sink is never left with a write that nobody awaits.
    const isTaken = deliveries.finish();
    if (isTrimmed(error))
      return (await isTaken) ? await passOver(ports, placing, deliveries, { lineage, at, error }) : 'reopen';
    await isTaken.catch(() => false);
    throw error;
  }
  if (!(await deliveries.finish())) return 'reopen';
  return isEnd(at) ? 'ended' : 'stopped';
}
