/** A fault: what is done to an installation while it works, and how one sees that it bit. */
import type { Random } from '../simulation/random.ts';
import type { Installation, Size } from './installation.ts';
import type { Load } from './load.ts';
import type { Oracle } from './oracle.ts';
import type { Counts } from './readers.ts';

export interface Scene {
  readonly installation: Installation;
  readonly load: Load;
  readonly oracle: Oracle;
  readonly random: Random;
  /** What happens, with its time: the schedule as it was. */
  readonly say: (line: string) => void;
  readonly wait: (ms: number) => Promise<void>;
}

/** Of the row, up to its end. */
export interface Seen {
  readonly counts: Counts;
  /** How far a counter of the roles went on. */
  readonly counter: (name: string) => number;
  /** Processes that were gone, and started again. */
  readonly restarts: number;
  /** Requests and records that were sent again. */
  readonly resent: number;
}

export type Evidence = Readonly<Record<string, number>>;

export interface Fault {
  readonly name: string;
  /** Under load. What it did is undone once it resolves. Answers what servers and proxies say of it, not what was done. */
  readonly strike: (scene: Scene) => Promise<Evidence>;
  /** What readers, senders and roles saw of it. Where every number is 0, also of what `strike` answered, the row fails. */
  readonly bites: (seen: Seen) => Evidence;
  /** The share of this row's questions that must have been answered. */
  readonly answered?: number;
  /** What it cannot do without. */
  readonly needs?: (size: Size) => boolean;
  /** Nothing is done, and nothing may be noticed. */
  readonly isControl?: boolean;
  /** Nothing is to go on behind it, so it comes last: what is asked is that no answer is wrong, and nothing acknowledged lost. */
  readonly isEnding?: boolean;
  /** In the selection that CI runs. */
  readonly inCi?: boolean;
}

/** What a fault of any dependency leaves in the metrics of the roles. */
export const marks = ({ counts, counter, resent }: Seen): Evidence => ({
  'fences that fell': counts.fell,
  'buckets healed': counter('meterfold_buckets_healed_total'),
  'records cropped': counter('meterfold_records_cropped_total'),
  'failures waited out': counter('meterfold_failures_total'),
  'requests refused': counts.refused,
  'sent again': resent,
});
