/**
 * What happens to an event at the edge, before the log: the user's processors, the privacy rules, then the schema. Pure as far as the
 * processors are: callers send again what was not acknowledged, and the copy must come out the same.
 */
import type { EdgeEvent, EdgeProcessor } from '../contract.ts';
import { canonicalJson } from './canonical.ts';
import { checkEvent, type NativeFields, type UsageEvent } from './event.ts';
import type { Schemas } from './event-schema.ts';
import { checkSchema } from './event-schema-check.ts';
import { type Fault, fault, isFault } from './fault.ts';
import { parseJsonText } from './json.ts';
import { nativeOf } from './native.ts';

/** What became of one event: what goes into the log, and the code of every part that a processor dropped. */
export interface Passed {
  readonly events: readonly UsageEvent[];
  readonly filtered: readonly string[];
}

/** All parts of an event pass, or it is rejected whole with the first fault. */
export type Edge = (event: UsageEvent, checkTime: (event: UsageEvent) => Fault | undefined) => Passed | Fault;

/** Told what a processor did wrong; the error where it threw one. Never what the event held. */
export type ProcessorFaulted = (processor: string, what: string, error?: unknown) => void;

export interface EdgeOptions {
  readonly processors: readonly EdgeProcessor[];
  /** Process each event twice and compare. */
  readonly checks: boolean;
  /** Applied to what the processors leave. */
  readonly conceal: (event: UsageEvent) => UsageEvent | Fault;
  readonly onFault: ProcessorFaulted;
}

/** Nothing is configured: the event as it came. */
export const openEdge: Edge = (event) => ({ events: [event], filtered: [] });

/**
 * What an edge leaves keeps the schema of its type. Last of all: the worker sees what is written, and must judge the same; what
 * privacy took away cannot be asked for.
 */
export const keepingSchemas =
  (edge: Edge, schemas: () => Schemas): Edge =>
  (event, checkTime) => {
    const passed = edge(event, checkTime);
    if (isFault(passed)) return passed;
    for (const part of passed.events) {
      const wrong = checkSchema(schemas(), part);
      if (wrong !== undefined) return wrong;
    }
    return passed;
  };

/** Of one event: more would make a small request a large append. */
const MAX_PARTS = 100;
/** A code is a constant of the processor; with a pattern it can hardly be what an event held. */
const CODE = /^[A-Z][A-Z0-9_]{0,63}$/;

export function edgeOf({ processors, checks, conceal, onFault }: EdgeOptions): Edge {
  const steps = processors.map((processor) => new Step(processor, checks, onFault));
  return (event, checkTime) => {
    const passed = runAll(steps, event, checkTime);
    return isFault(passed) ? passed : concealed(passed, conceal);
  };
}

function runAll(steps: readonly Step[], event: UsageEvent, checkTime: Parameters<Edge>[1]): Passed | Fault {
  let events: readonly UsageEvent[] = [event];
  const filtered: string[] = [];
  for (const step of steps) {
    const parts: UsageEvent[] = [];
    for (const part of events) {
      const outcome = step.run(part, checkTime);
      if (isFault(outcome)) return outcome;
      parts.push(...outcome.events);
      filtered.push(...outcome.filtered);
    }
    const wrong = step.checkParts(parts);
    if (wrong !== undefined) return wrong;
    events = parts;
  }
  return { events, filtered };
}

function concealed({ events, filtered }: Passed, conceal: EdgeOptions['conceal']): Passed | Fault {
  const done: UsageEvent[] = [];
  for (const event of events) {
    const outcome = conceal(event);
    if (isFault(outcome)) return outcome;
    done.push(outcome);
  }
  return { events: done, filtered };
}

/** One processor, with everything that it is held to. */
class Step {
  readonly #processor: EdgeProcessor;
  readonly #checks: boolean;
  readonly #onFault: ProcessorFaulted;

  constructor(processor: EdgeProcessor, checks: boolean, onFault: ProcessorFaulted) {
    this.#processor = processor;
    this.#checks = checks;
    this.#onFault = onFault;
  }

  run(event: UsageEvent, checkTime: Parameters<Edge>[1]): Passed | Fault {
    let outcome: unknown;
    try {
      const text = this.#outcome(event);
      if (this.#checks && this.#outcome(event) !== text) return this.#fault('gave two results for the same event');
      outcome = parseJsonText(text);
    } catch (error) {
      return error instanceof Refusal ? this.#fault(error.message) : this.#fault('threw an error', error);
    }
    if (outcome === 'keep') return { events: [event], filtered: [] };
    if (isDrop(outcome)) return { events: [], filtered: [outcome.drop] };
    return this.#changed(event, outcome, checkTime);
  }

  /** Their keys must differ, else one would count for all. */
  checkParts(parts: readonly UsageEvent[]): Fault | undefined {
    if (parts.length > MAX_PARTS) return this.#fault(`made more than ${String(MAX_PARTS)} events of one`);
    const keys = new Set(parts.map(({ key }) => key));
    return keys.size === parts.length ? undefined : this.#fault('split an event into several with the same idempotency key');
  }

  /** As text: what comes back has passed through JSON as an event of HTTP has, and two results can be compared. */
  #outcome(event: UsageEvent): string {
    const outcome: unknown = this.#processor.process(frozen(nativeOf(event)));
    demandOutcome(outcome);
    return canonicalJson(JSON.parse(JSON.stringify(outcome, demandJson)));
  }

  #changed(event: UsageEvent, outcome: unknown, checkTime: Parameters<Edge>[1]): Passed | Fault {
    const parts = Array.isArray(outcome) ? outcome : [outcome];
    if (parts.length === 0) return this.#fault('answered an empty list: a drop needs a code');
    const events: UsageEvent[] = [];
    for (const fields of parts as readonly unknown[]) {
      const part = this.#part(event, fields, Array.isArray(outcome), checkTime);
      if (isFault(part)) return part;
      events.push(part);
    }
    return { events, filtered: [] };
  }

  #part(event: UsageEvent, fields: unknown, isSplit: boolean, checkTime: Parameters<Edge>[1]): UsageEvent | Fault {
    if (!isFields(fields)) return this.#fault('answered something that is no event');
    const part = checkEvent(fields);
    const wrong = isFault(part) ? part : checkTime(part);
    if (wrong !== undefined) return this.#fault(`made an event with ${wrong.code}: ${wrong.reason}`, undefined, wrong);
    const { key } = part as UsageEvent;
    if (isSplit && !key.startsWith(event.key))
      return this.#fault('split an event into one whose idempotency key does not start with that of the first');
    if (!isSplit && key !== event.key) return this.#fault('changed the idempotency key of an event');
    return part;
  }

  #fault(what: string, error?: unknown, wrong?: Fault): Fault {
    const { name, version } = this.#processor;
    this.#onFault(name, wrong === undefined ? what : `made an event with ${wrong.code}`, error);
    const reason = `processor ${name}@${String(version)} ${what}`;
    return fault('PROCESSOR_FAULT', wrong?.field ?? '', wrong?.value ?? '', reason);
  }
}

/** What is wrong with an outcome before it is JSON. Its message never holds what the event did. */
class Refusal extends Error {}

function demandOutcome(outcome: unknown): void {
  if (outcome === 'keep') return;
  if (typeof outcome !== 'object' || outcome === null) throw new Refusal('answered neither keep, drop, an event nor a list');
  if ('then' in outcome) throw new Refusal('answered a promise: a processor answers at once');
  if ('drop' in outcome && (Object.keys(outcome).length > 1 || !CODE.test(String(outcome.drop))))
    throw new Refusal('dropped an event without a code such as NOT_BILLED');
}

/** What JSON would change without a word. */
function demandJson(_: string, value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new Refusal('made a number that is none');
  if (['bigint', 'function', 'symbol'].includes(typeof value))
    throw new Refusal(`made a ${typeof value}, which JSON has not: numbers are texts`);
  return value;
}

const isFields = (value: unknown): value is NativeFields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isDrop = (value: unknown): value is { readonly drop: string } =>
  isFields(value) && Object.keys(value).length === 1 && typeof value.drop === 'string';

/** A processor that changes what it was given would do so without being seen. */
function frozen(event: EdgeEvent): EdgeEvent {
  const freeze = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    Object.values(value).forEach(freeze);
    Object.freeze(value);
  };
  freeze(event);
  return event;
}
