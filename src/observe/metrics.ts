/** Metrics of one process: a registry of its own, and label children that are made once and kept. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

export type { Registry };

export interface RegistryOptions {
  /** Memory, CPU, event loop and garbage collection of the process. */
  readonly process?: boolean;
}

export function openRegistry({ process = false }: RegistryOptions = {}): Registry {
  const registry = new Registry();
  if (process) collectDefaultMetrics({ register: registry });
  return registry;
}

/** Values of a label beyond this many are counted together: some come from what callers send. */
const MAX_CHILDREN = 200;
export const OTHER = 'other';

/** One child for every value of a label, made at its first use. */
class Children<Child> {
  readonly #children = new Map<string, Child>();
  readonly #make: (value: string) => Child;

  constructor(make: (value: string) => Child, known: readonly string[]) {
    this.#make = make;
    for (const value of known) this.of(value);
  }

  of(value: string): Child {
    const found = this.#children.get(value);
    if (found !== undefined) return found;
    if (this.#children.size >= MAX_CHILDREN && value !== OTHER) return this.of(OTHER);
    const child = this.#make(value);
    this.#children.set(value, child);
    return child;
  }
}

export interface Named {
  readonly name: string;
  readonly help: string;
}

/** Counters of one label. `known` values are shown as 0 before their first use. */
export function counters(registry: Registry, metric: Named, label: string, known: readonly string[] = []) {
  const counter = new Counter({ ...metric, labelNames: [label], registers: [registry] });
  const children = new Children((value) => counter.labels(value), known);
  return (value: string, by = 1): void => {
    children.of(value).inc(by);
  };
}

/** Counters of several labels, values in the order of `labelNames`. */
export function countersBy(registry: Registry, metric: Named, labelNames: readonly string[]) {
  const made = new Counter({ ...metric, labelNames, registers: [registry] });
  const children = new Children((values) => made.labels(...labelNames.map((_, n) => values.split(' ')[n] ?? OTHER)), []);
  return (...values: readonly string[]): void => {
    children.of(values.join(' ')).inc();
  };
}

export function counter(registry: Registry, metric: Named) {
  const made = new Counter({ ...metric, registers: [registry] });
  return (by: number): void => {
    made.inc(by);
  };
}

export function gauges(registry: Registry, metric: Named, label: string) {
  const gauge = new Gauge({ ...metric, labelNames: [label], registers: [registry] });
  const children = new Children((value) => gauge.labels(value), []);
  return (value: string, to: number): void => {
    children.of(value).set(to);
  };
}

export function gauge(registry: Registry, metric: Named) {
  const made = new Gauge({ ...metric, registers: [registry] });
  return (to: number): void => {
    made.set(to);
  };
}

/** Of several labels, values in the order of `labelNames`. For values that no caller chooses. */
export function gaugesBy(registry: Registry, metric: Named, labelNames: readonly string[]) {
  const made = new Gauge({ ...metric, labelNames, registers: [registry] });
  return (to: number, ...values: readonly string[]): void => {
    made.labels(...values).set(to);
  };
}

/** Seconds, from what an idle machine takes to what a caller no longer waits for. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export function seconds(registry: Registry, metric: Named) {
  const histogram = new Histogram({ ...metric, buckets: SECONDS, registers: [registry] });
  return (value: number): void => {
    histogram.observe(value);
  };
}

export function secondsBy(registry: Registry, metric: Named, label: string) {
  const histogram = new Histogram({ ...metric, buckets: SECONDS, labelNames: [label], registers: [registry] });
  const children = new Children((value) => histogram.labels(value), []);
  return (value: string, elapsed: number): void => {
    children.of(value).observe(elapsed);
  };
}
