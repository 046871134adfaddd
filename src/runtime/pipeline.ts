/** Typed wiring: what topology.ts is written with. A pipeline is data; nothing runs here. */
import type { At, LogRecord, Processor, Sink, Source } from '../contract.ts';
import type { Metered } from './term.ts';

export interface Topology {
  readonly source: Source;
  /** Names of the steps, in order, for people. */
  readonly steps: readonly string[];
  /** Fresh steps for one term: what a step counts belongs to the segments of one lineage. */
  readonly processor: () => (record: LogRecord, at: At) => Metered;
  /** Fresh sinks for one lineage: what a sink remembers belongs to one lane. */
  readonly sinks: () => readonly Sink[];
}

export interface Stage<T> {
  through<U>(processor: () => Processor<T, U>): Stage<U>;
  into(this: Stage<Metered>, ...sinks: readonly (() => Sink)[]): Topology;
}

type Step<T> = (record: LogRecord, at: At) => T;

function stage<T>(source: Source, steps: readonly string[], begin: () => Step<T>): Stage<T> {
  return {
    through: <U>(make: () => Processor<T, U>) =>
      stage(source, [...steps, make().name], () => {
        const [before, processor] = [begin(), make()];
        return (record, at) => processor.process(before(record, at), at);
      }),
    into: (...sinks) => ({
      source,
      steps,
      // `this: Stage<Metered>` holds here: the compiler admits `into` only where T is what sinks take.
      processor: begin as () => Step<T & Metered>,
      sinks: () => sinks.map((make) => make()),
    }),
  };
}

/** Begins a topology. */
export const from = (source: Source): Stage<LogRecord> => stage(source, [source.name], () => (record) => record);
