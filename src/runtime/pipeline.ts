/** Typed wiring: what topology.ts is written with. A pipeline is data; nothing runs here. */
import type { Batch, Lineage, LogRecord, Processor, Sink, Source } from '../contract.ts';
import type { Metered } from './term.ts';

export interface Topology {
  readonly source: Source;
  /** Names of the steps, in order, for people. */
  readonly steps: readonly string[];
  readonly process: (batch: Batch, lineage: Lineage) => readonly Metered[];
  /** Fresh sinks for one lineage: what a sink remembers belongs to one lane. */
  readonly sinks: () => readonly Sink[];
}

export interface Stage<T> {
  through<U>(processor: Processor<T, U>): Stage<U>;
  into(this: Stage<Metered>, ...sinks: readonly (() => Sink)[]): Topology;
}

function stage<T>(source: Source, steps: readonly string[], apply: (record: LogRecord, lineage: Lineage) => T): Stage<T> {
  return {
    through: <U>(processor: Processor<T, U>) =>
      stage(source, [...steps, processor.name], (record, lineage) => processor.process(apply(record, lineage), lineage)),
    into: (...sinks) => ({
      source,
      steps,
      // `this: Stage<Metered>` holds here: the compiler admits `into` only where T is what sinks take.
      process: (batch, lineage) => batch.records.map((record) => apply(record, lineage) as T & Metered),
      sinks: () => sinks.map((make) => make()),
    }),
  };
}

/** Begins a topology. */
export const from = (source: Source): Stage<LogRecord> => stage(source, [source.name], (record) => record);
