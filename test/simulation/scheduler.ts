/**
 * The scheduler. A process calls ports; every call parks at a gate, and a seeded choice says whose gate opens next. What
 * lies between two gates is atomic. A killed process never passes another gate; requests that it had sent may still arrive.
 */
import { asError, kindOf } from '../../src/errors.ts';

/** `call`: sent, not yet arrived. `reply`: done, answer not yet here. The others wait for something. */
export type GateKind = 'call' | 'reply' | 'sleep' | 'idle' | 'lock';

export interface Gate {
  readonly label: string;
  readonly kind: GateKind;
  readonly ready: () => boolean;
  readonly open: () => void;
}

export class SimProcess {
  readonly id: number;
  readonly name: string;
  readonly stop = new AbortController();
  readonly parked: Gate[] = [];
  /** Told when it dies: its connections close. */
  readonly onDeath = new Set<() => void>();
  state: 'alive' | 'dead' | 'done' = 'alive';
  /** A paused process stands still until this step: a zombie. */
  pausedUntil = 0;

  constructor(id: number, name: string) {
    this.id = id;
    this.name = name;
  }
}

const always = (): boolean => true;
const never = new Promise<never>(() => undefined);

/** Lets everything that can go on without a gate go on. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class Scheduler {
  processes: SimProcess[] = [];
  /** Requests of dead processes, still on their way. */
  orphans: Gate[] = [];
  /** Faults have ended: only waiting parks. */
  quiet = false;
  trace: ((line: string) => void) | undefined;
  readonly #failed: (error: Error) => void;
  #running: SimProcess | undefined;
  #budget = 0;

  constructor(failed: (error: Error) => void) {
    this.#failed = failed;
  }

  /** Parks until the scheduler opens the gate; passes at once while the process runs on its budget. */
  gate(process: SimProcess, label: string, kind: GateKind, ready: () => boolean = always): Promise<void> {
    if (process.state === 'dead') return never;
    if ((kind === 'call' || kind === 'reply') && this.#passes(process)) {
      this.trace?.(`  ${process.name} ${label} ${kind}`);
      return Promise.resolve();
    }
    return new Promise((open) => process.parked.push({ label, kind, ready, open }));
  }

  #passes(process: SimProcess): boolean {
    if (this.quiet) return true;
    if (process !== this.#running || this.#budget <= 0) return false;
    this.#budget -= 1;
    return true;
  }

  /** Starts a process; it runs to its first gate. What it throws beyond what passes by itself fails the schedule. */
  async start(process: SimProcess, body: () => Promise<unknown>): Promise<void> {
    this.processes.push(process);
    const over = (): void => {
      if (process.state === 'alive') process.state = 'done';
      this.processes = this.processes.filter((p) => p !== process);
    };
    body().then(over, (error: unknown) => {
      over();
      if (kindOf(error) !== 'transient') this.#failed(asError(error));
    });
    await settled();
  }

  runnable(step: number): SimProcess[] {
    return this.processes.filter((p) => p.pausedUntil <= step && p.parked.some((gate) => gate.ready()));
  }

  /** Opens one gate of a process, and lets it pass `budget` more. */
  async resume(process: SimProcess, gate: Gate, budget: number): Promise<void> {
    process.parked.splice(process.parked.indexOf(gate), 1);
    this.trace?.(`${process.name} ${gate.label} ${gate.kind}`);
    [this.#running, this.#budget] = [process, budget];
    gate.open();
    await settled();
    this.#running = undefined;
  }

  /** A request of a dead process arrives; nobody hears the answer. */
  async deliver(orphan: Gate): Promise<void> {
    this.orphans = this.orphans.filter((gate) => gate !== orphan);
    this.trace?.(`(dead) ${orphan.label} arrives`);
    orphan.open();
    await settled();
  }

  kill(process: SimProcess, inFlight: (gate: Gate) => boolean): void {
    process.state = 'dead';
    this.processes = this.processes.filter((p) => p !== process);
    for (const gate of process.parked.splice(0)) if (gate.kind === 'call' && inFlight(gate)) this.orphans.push(gate);
    for (const close of process.onDeath) close();
  }
}
