/**
 * Whether a text holds a pattern, in time that grows with the text alone: the steps of the pattern that a text has reached
 * are one state, so nothing is ever tried twice. States are made when a text first leads to them, and kept.
 */
import { BadPattern, type Node, parsePattern, type Range } from './pattern-parse.ts';

type Step =
  | { readonly op: 'set'; readonly ranges: readonly Range[]; readonly next: number }
  | { readonly op: 'start' | 'end'; readonly next: number }
  | { readonly op: 'split'; readonly next: readonly number[] }
  | { readonly op: 'match' };

/** Steps that a pattern may have once its repetitions are written out: what one character can cost. */
export const MAX_STEPS = 500;
/** States that are kept of a pattern; beyond it they are forgotten and made again. */
const MAX_STATES = 500;

const stepsOf = (node: Node): number => {
  if (node.kind === 'sequence' || node.kind === 'choice') return node.nodes.reduce((sum, one) => sum + stepsOf(one), 1);
  if (node.kind !== 'repeat') return 1;
  return 1 + (stepsOf(node.node) + 1) * Math.max(1, node.most === Infinity ? node.least + 1 : node.most);
};

/** Each step knows what comes next, so they are made from the end. */
class Program {
  readonly steps: Step[] = [{ op: 'match' }];

  add(step: Step): number {
    return this.steps.push(step) - 1;
  }

  /** Where `node` begins when `next` follows it. */
  of(node: Node, next: number): number {
    switch (node.kind) {
      case 'set':
        return this.add({ op: 'set', ranges: node.ranges, next });
      case 'start':
      case 'end':
        return this.add({ op: node.kind, next });
      case 'sequence':
        return node.nodes.reduceRight((after, one) => this.of(one, after), next);
      case 'choice':
        return this.add({ op: 'split', next: node.nodes.map((one) => this.of(one, next)) });
      case 'repeat':
        return this.#repeat(node, next);
    }
  }

  #repeat({ node, least, most }: Node & { readonly kind: 'repeat' }, next: number): number {
    let entry = next;
    if (most === Infinity) {
      const ways = [next];
      entry = this.add({ op: 'split', next: ways });
      ways.unshift(this.of(node, entry));
    } else {
      for (let n = least; n < most; n += 1) entry = this.add({ op: 'split', next: [this.of(node, entry), next] });
    }
    for (let n = 0; n < least; n += 1) entry = this.of(node, entry);
    return entry;
  }
}

/** The steps that wait for a character or for the end. */
interface State {
  readonly waiting: readonly number[];
  readonly isMatch: boolean;
  /** Whether the text may end here; undefined until it first did. */
  isMatchAtEnd: boolean | undefined;
  /** By class of characters. */
  readonly next: (State | undefined)[];
}

export class Pattern {
  readonly #steps: readonly Step[];
  readonly #first: number;
  /** Where classes of characters begin, ascending: no set tells two characters of one class apart. */
  readonly #classes: readonly number[];
  readonly #start: State;
  #states = new Map<string, State>();

  /** Throws BadPattern. */
  constructor(text: string) {
    const node = parsePattern(text);
    if (stepsOf(node) > MAX_STEPS) throw new BadPattern(`it has more than ${MAX_STEPS} steps when written out`);
    const program = new Program();
    this.#first = program.of(node, 0);
    this.#steps = program.steps;
    const sets = program.steps.flatMap((step) => (step.op === 'set' ? step.ranges : []));
    this.#classes = [...new Set([0, ...sets.flatMap(([from, to]) => [from, to + 1])])].sort((a, b) => a - b);
    this.#start = this.#closure([this.#first], { atStart: true, atEnd: false });
  }

  /** Anywhere in the text, as `RegExp.test` with the flag `u`. */
  test(text: string): boolean {
    if (text === '') return this.#closure([this.#first], { atStart: true, atEnd: true }).isMatch;
    let state = this.#start;
    for (const character of text) {
      if (state.isMatch) return true;
      state = this.#after(state, this.#classOf(character.codePointAt(0) ?? 0));
    }
    // Here `$` holds; what waits for a character waits in vain.
    return (state.isMatchAtEnd ??= this.#closure(state.waiting, { atStart: false, atEnd: true }).isMatch);
  }

  #classOf(point: number): number {
    let [low, high] = [0, this.#classes.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#classes[middle] ?? 0) <= point) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #after(state: State, kind: number): State {
    const known = state.next[kind];
    if (known !== undefined) return known;
    const point = this.#classes[kind] ?? 0;
    const reached = state.waiting.flatMap((index) => {
      const step = this.#steps[index];
      return step?.op === 'set' && step.ranges.some(([from, to]) => from <= point && point <= to) ? [step.next] : [];
    });
    // A match may begin behind any character.
    const next = this.#closure([...reached, this.#first], { atStart: false, atEnd: false });
    state.next[kind] = next;
    return next;
  }

  /** Everything that is reached without a character. */
  #closure(from: readonly number[], place: { readonly atStart: boolean; readonly atEnd: boolean }): State {
    const seen = new Set<number>();
    const open = [...from];
    for (let index = open.pop(); index !== undefined; index = open.pop()) {
      const step = this.#steps[index];
      if (step === undefined || seen.has(index)) continue;
      seen.add(index);
      if (step.op === 'split') open.push(...step.next);
      else if ((step.op === 'start' && place.atStart) || (step.op === 'end' && place.atEnd)) open.push(step.next);
    }
    return this.#state([...seen].sort((a, b) => a - b));
  }

  #state(reached: readonly number[]): State {
    const waiting = reached.filter((index) => ['set', 'end'].includes(this.#steps[index]?.op ?? ''));
    const isMatch = reached.includes(0);
    const id = `${String(isMatch)} ${waiting.join()}`;
    const known = this.#states.get(id);
    if (known !== undefined) return known;
    if (this.#states.size >= MAX_STATES) this.#states = new Map();
    const state: State = { waiting, isMatch, isMatchAtEnd: isMatch ? true : undefined, next: [] };
    this.#states.set(id, state);
    return state;
  }
}
