/** What is on record of the generations of a log: every process learns of them from here. */
import type { Position } from '../../contract.ts';

/** A topic that was the log, or is it. */
export interface Generation {
  /** From 1. */
  readonly number: number;
  readonly topic: string;
  /** Id of its first lineage: it holds the topic's uuid. */
  readonly log: string;
  /** Homes are by this number. */
  readonly partitions: number;
  /** Producers write here, unless there is a later one. False: its predecessor is being closed. */
  readonly isOpen: boolean;
}

export interface Generations {
  readonly all: readonly Generation[];
  /** Lineages that were closed -> where each of them ends. */
  readonly ends: ReadonlyMap<string, Position>;
}

/** What stands is never written over: each step may be repeated, also by several at a time. */
export interface GenerationRegistry {
  look(): Promise<Generations>;
  /** Answers the generation that stands under this number. */
  plan(generation: Generation): Promise<Generation>;
  /** Notes a place of a lineage that lies before every record that closes it. Answers the one that stands. */
  closing(lineage: string, before: Position): Promise<Position>;
  /** Notes where a lineage ends: where the first record lies that closes it. */
  ended(lineage: string, end: Position): Promise<void>;
  /** From now on producers write there. */
  open(generation: number): Promise<void>;
}
