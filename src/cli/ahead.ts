/** Appends to the log of a data directory, never far ahead of what is published. */
import type { Clock } from '../clock.ts';
import { CUT_END, type Outgoing, type Written } from '../contract.ts';
import { encodeEvent } from '../domain/avro.ts';
import type { UsageEvent } from '../domain/event.ts';
import { routingKeyOf } from '../domain/routing.ts';
import { MeterError } from '../errors.ts';
import { announcing } from '../serving/announce.ts';
import type { Stores } from './stores.ts';

/** Records that the log may be ahead of the cut: bounds disk and what a kill has to replay. */
const MOST_AHEAD = 50_000;
const LOOK_MS = 20;

/** Appends, and waits while the cut is too far behind. */
export class Ahead {
  readonly #stores: Stores;
  readonly #clock: Clock;
  readonly #stop: AbortSignal;
  readonly #announce: () => Promise<void>;
  /** The last position written in each lineage. */
  readonly #written = new Map<string, string>();
  #appended = 0;
  #published = 0;

  constructor(stores: Stores, clock: Clock, stop: AbortSignal) {
    this.#stores = stores;
    this.#announce = announcing({ producer: stores.log, ruleSets: stores.ruleSets });
    this.#clock = clock;
    this.#stop = stop;
  }

  async send(events: readonly UsageEvent[]): Promise<void> {
    while (this.#appended - this.#published > MOST_AHEAD) await this.#look();
    const { spread } = this.#stores.ruleSets.newest;
    await this.#announce();
    let rest = events.map((event): Outgoing => ({ routingKey: routingKeyOf(event, spread), value: encodeEvent(event) }));
    while (rest.length > 0) {
      this.#stop.throwIfAborted();
      const outcomes = await this.#stores.log.append(rest);
      outcomes.forEach((outcome) => {
        if (!(outcome instanceof Error)) this.#note(outcome);
      });
      // Not acknowledged: sent again. If it was written all the same, the copy counts once.
      const failed = outcomes.find((outcome) => outcome instanceof Error);
      if (failed !== undefined && !(failed instanceof MeterError && failed.kind === 'transient')) throw failed;
      rest = rest.filter((_, n) => outcomes[n] instanceof Error);
      if (rest.length > 0) await this.#clock.sleep(LOOK_MS, this.#stop);
    }
    this.#appended += events.length;
  }

  /** Resolves when everything written lies below the cut. */
  async published(): Promise<void> {
    while (!(await this.#look()));
  }

  #note({ lineage, position }: Written): void {
    const last = this.#written.get(lineage);
    if (last === undefined || position > last) this.#written.set(lineage, position);
  }

  /** Waits a little, then counts how far the cut is. */
  async #look(): Promise<boolean> {
    this.#stop.throwIfAborted();
    await this.#clock.sleep(LOOK_MS, this.#stop);
    const cuts = await this.#stores.batch.cuts();
    let behind = 0;
    for (const [lineage, last] of this.#written) {
      const cut = cuts.get(lineage);
      if (cut?.segments === CUT_END || (cut !== undefined && cut.position > last)) continue;
      behind += Number(last) + 1 - Number(cut?.position ?? 0);
    }
    this.#published = this.#appended - behind;
    return behind === 0;
  }
}
