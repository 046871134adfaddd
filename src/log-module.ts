/** What a module named by the setting `logModule` exports: a log of the user's own instead of PostgreSQL. */
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import type { Producer, Sharing, SharingHealth, Source, Standing } from './contract.ts';
import type { Expanded, ExpandRequest } from './sources/generations/expand.ts';

/** The promises SRC-* and PRD-* of docs/component-spec.md; `meterfold/conformance` tests them. */
export interface OpenedLog extends Source, Producer {
  /** How several workers share it, where the broker has groups. Without it they share by leases in the database. */
  sharing?(health: SharingHealth): Sharing;
  /** Begins a new generation of the log, where it can. Each step may be repeated: who died half way is to ask again. */
  expand?(request: ExpandRequest, stop: AbortSignal): Promise<Expanded>;
  /** How far this process has read, for metrics. */
  standings?(): readonly Standing[];
  /** Waits for appends under way. Nothing may be appended any more. */
  close(): Promise<void>;
}

/** The database of this installation (a pool of `pg`), for a log that keeps something there. */
export interface Database {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: readonly Readonly<Record<string, unknown>>[] }>;
}

export interface LogModuleOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly pool: Database;
}

export interface LogModule {
  /** Answers the same log at every start: lineage ids hold a uuid of it and are kept. */
  openLog(options: LogModuleOptions): Promise<OpenedLog>;
}
