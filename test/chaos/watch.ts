/** What the roles say of themselves in /metrics, summed over every process that ever ran: a restart counts from zero again. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RoleProcess } from '../support/role-process.ts';

const LOOK_MS = 500;
const LINE = /^([a-z_]+(?:\{[^}]*\})?) ([0-9.e+]+)$/gm;

export class Watch {
  readonly #last = new Map<RoleProcess, ReadonlyMap<string, number>>();
  readonly #running: () => readonly RoleProcess[];
  readonly #stop = new AbortController();
  #over: Promise<void> = Promise.resolve();

  constructor(running: () => readonly RoleProcess[]) {
    this.#running = running;
  }

  start(): void {
    this.#over = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#over;
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.look();
      await sleep(LOOK_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  async look(): Promise<void> {
    await Promise.all(this.#running().map((one) => this.#scrape(one)));
  }

  async #scrape(one: RoleProcess): Promise<void> {
    try {
      const signal = AbortSignal.timeout(2000);
      const text = await (await fetch(`${one.url}/metrics`, { signal })).text();
      this.#last.set(one, new Map([...text.matchAll(LINE)].map(([, name, value]) => [name ?? '', Number(value)])));
    } catch {
      // Killed, stopped, or busy: what it said last stands.
    }
  }

  /** The sum of a counter, over its labels where only the name is given. */
  total(name: string): number {
    let sum = 0;
    for (const counts of this.#last.values())
      for (const [series, value] of counts) if (series === name || series.startsWith(`${name}{`)) sum += value;
    return sum;
  }

  /** Each counter by its name. */
  totals(): ReadonlyMap<string, number> {
    const names = new Set([...this.#last.values()].flatMap((counts) => [...counts.keys()].map((series) => nameOf(series))));
    return new Map([...names].map((name) => [name, this.total(name)]));
  }
}

const nameOf = (series: string): string => series.replace(/\{.*$/, '');
