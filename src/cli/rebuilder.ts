/** The rebuild of one server: at most one runs, it waits out what passes, and everybody can see how far it is. */
import type { Facts, ViewDifference } from '../contract.ts';
import { asError, kindOf, MeterError } from '../errors.ts';
import { backoff } from '../runtime/backoff.ts';
import { rebuild, type RebuildPorts, type RebuildStatus } from '../batch/rebuild.ts';

export interface RebuilderPorts extends RebuildPorts {
  readonly facts: Pick<Facts, 'waiting' | 'recovered' | 'rebuilt'>;
  /** In [0, 1): jitter. */
  readonly random: () => number;
  readonly keyRetentionMs: number;
}

const NONE: RebuildStatus = { state: 'none', segments: 0, of: 0, differences: [] };
const WHAT = 'rebuild';

export class Rebuilder {
  readonly #ports: RebuilderPorts;
  #status = NONE;
  #stop = new AbortController();
  #running: Promise<void> | undefined;

  constructor(ports: RebuilderPorts) {
    this.#ports = ports;
  }

  async status(): Promise<RebuildStatus> {
    if (this.#running !== undefined) return this.#status;
    const isOpen = await this.#ports.rebuilds.isOpen();
    if (this.#status.state === 'none' && isOpen) return { ...NONE, state: 'left' };
    // Another process may have dropped it, or flipped it.
    return this.#status.state === 'differs' && !isOpen ? NONE : this.#status;
  }

  /** Goes on with what is left of an earlier one. Where one runs it runs on. */
  start(acceptsDifferences: boolean): RebuildStatus {
    if (this.#running !== undefined) return this.#status;
    this.#status = { ...NONE, state: 'running' };
    this.#stop = new AbortController();
    this.#running = this.#run(acceptsDifferences, this.#stop.signal).finally(() => (this.#running = undefined));
    return this.#status;
  }

  /** Stops what runs, and gives up what was built. */
  async drop(): Promise<RebuildStatus> {
    await this.stop();
    await this.#ports.rebuilds.drop();
    return (this.#status = NONE);
  }

  /** Resolves once nothing is under way; what was built stays. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(acceptsDifferences: boolean, stop: AbortSignal): Promise<void> {
    const { clock, facts, random, keyRetentionMs } = this.#ports;
    const onProgress = (segments: number, of: number): void => void (this.#status = { ...this.#status, segments, of });
    for (let failures = 0; !stop.aborted;) {
      try {
        const { state, differences } = await rebuild(this.#ports, { acceptsDifferences, keyRetentionMs, onProgress }, stop);
        if (failures > 0) facts.recovered(WHAT);
        this.#end(state === 'stopped' ? 'left' : state, differences);
        return;
      } catch (error) {
        failures += 1;
        if (!this.#waitsOut(error)) return;
        await clock.sleep(backoff(failures, random), stop);
      }
    }
    this.#end('left', []);
  }

  #end(state: RebuildStatus['state'], differences: readonly ViewDifference[]): void {
    const { segments, of } = this.#status;
    this.#status = { state, segments, of, differences };
    this.#ports.facts.rebuilt(state, differences.length);
  }

  /** A rebuild that cannot go on harms nobody: the live view answers as before, and says what is broken in its own roles. */
  #waitsOut(error: unknown): boolean {
    const detail = asError(error).message;
    if (kindOf(error) === 'transient') {
      this.#ports.facts.waiting(WHAT, error);
      this.#status = { ...this.#status, detail };
      return true;
    }
    this.#end('failed', []);
    const code = error instanceof MeterError ? `${error.code}: ` : '';
    this.#status = { ...this.#status, detail: `${code}${detail}` };
    return false;
  }
}
