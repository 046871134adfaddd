/**
 * Patterns of schemas: the part of ECMA-262 expressions (flag `u`) that is regular, means the same under every version of
 * Unicode, and fits a bound of steps. What lies outside is refused by name, never taken for something else.
 */

/** Code points, both ends included. */
export type Range = readonly [from: number, to: number];

export type Node =
  | { readonly kind: 'set'; readonly ranges: readonly Range[] }
  | { readonly kind: 'start' | 'end' }
  | { readonly kind: 'sequence' | 'choice'; readonly nodes: readonly Node[] }
  | { readonly kind: 'repeat'; readonly node: Node; readonly least: number; readonly most: number };

/** Why a text is no pattern here. */
export class BadPattern extends Error {}

const LAST = 0x10ffff;
/** Groups within groups: the parser calls itself for each. */
const MAX_NESTED = 32;
/** Of a counted repetition. */
const MAX_COUNT = 1000;

const at = (text: string): number => text.codePointAt(0) ?? 0;
const DIGITS: readonly Range[] = [[at('0'), at('9')]];
const WORD: readonly Range[] = [
  [at('0'), at('9')],
  [at('A'), at('Z')],
  [at('_'), at('_')],
  [at('a'), at('z')],
];
/** What `.` leaves out: line feed, carriage return, line and paragraph separator. */
const LINE_ENDS: readonly Range[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];

/** Everything else, in order. */
export function complement(ranges: readonly Range[]): Range[] {
  const rest: Range[] = [];
  let next = 0;
  for (const [from, to] of [...ranges].sort(([a], [b]) => a - b)) {
    if (from > next) rest.push([next, from - 1]);
    next = Math.max(next, to + 1);
  }
  return next > LAST ? rest : [...rest, [next, LAST]];
}

const ESCAPED: Readonly<Record<string, readonly Range[]>> = {
  ...{ d: DIGITS, D: complement(DIGITS), w: WORD, W: complement(WORD) },
  ...{ n: [[0x0a, 0x0a]], r: [[0x0d, 0x0d]], t: [[0x09, 0x09]] },
};
const SYNTAX = '^$\\.*+?()[]{}|/';
const QUANTIFIER = /^(?:[*+?]|\{(\d+)(,(\d+)?)?\})/;
/** Longer than any quantifier that is taken. */
const QUANTIFIER_LENGTH = 20;

/** Throws BadPattern, whose message says what is not taken. */
export function parsePattern(text: string): Node {
  // Whatever is taken here must be an expression for every other tool that reads the schema, too.
  try {
    new RegExp(text, 'u');
  } catch {
    throw new BadPattern('it is no regular expression');
  }
  return new Parser(text).whole();
}

class Parser {
  readonly #characters: readonly string[];
  #next = 0;
  #depth = 0;

  constructor(text: string) {
    this.#characters = Array.from(text);
  }

  whole(): Node {
    const node = this.#choice();
    if (this.#next < this.#characters.length) throw new BadPattern(`${this.#peek()} stands alone`);
    return node;
  }

  #peek(): string {
    return this.#characters[this.#next] ?? '';
  }
  #take(): string {
    const character = this.#peek();
    this.#next += 1;
    return character;
  }
  #isNext(text: string): boolean {
    const isSo = this.#characters.slice(this.#next, this.#next + text.length).join('') === text;
    if (isSo) this.#next += text.length;
    return isSo;
  }

  #choice(): Node {
    const nodes = [this.#sequence()];
    while (this.#isNext('|')) nodes.push(this.#sequence());
    return nodes.length === 1 && nodes[0] !== undefined ? nodes[0] : { kind: 'choice', nodes };
  }

  #sequence(): Node {
    const nodes: Node[] = [];
    while (this.#next < this.#characters.length && this.#peek() !== '|' && this.#peek() !== ')') nodes.push(this.#term());
    return { kind: 'sequence', nodes };
  }

  #term(): Node {
    if (this.#isNext('^')) return { kind: 'start' };
    if (this.#isNext('$')) return { kind: 'end' };
    return this.#repeated(this.#atom());
  }

  #atom(): Node {
    if (this.#isNext('.')) return { kind: 'set', ranges: complement(LINE_ENDS) };
    if (this.#isNext('(')) return this.#group();
    if (this.#isNext('[')) return { kind: 'set', ranges: this.#class() };
    return { kind: 'set', ranges: this.#one('') };
  }

  #group(): Node {
    if (!this.#isNext('?:') && this.#peek() === '?') throw new BadPattern('look-around and named groups are not taken');
    this.#depth += 1;
    if (this.#depth > MAX_NESTED) throw new BadPattern(`groups are nested deeper than ${MAX_NESTED}`);
    const node = this.#choice();
    this.#depth -= 1;
    this.#next += 1;
    return node;
  }

  #class(): readonly Range[] {
    const isNegated = this.#isNext('^');
    const ranges: Range[] = [];
    while (!this.#isNext(']')) {
      const first = this.#one('-');
      const [low] = first[0] ?? [0];
      const isRange = this.#peek() === '-' && this.#characters[this.#next + 1] !== ']';
      if (isRange) {
        this.#next += 1;
        ranges.push([low, this.#one('-')[0]?.[0] ?? low]);
      } else ranges.push(...first);
    }
    return isNegated ? complement(ranges) : ranges;
  }

  /** A character, or a class by its escape; `more` may be escaped here, too. */
  #one(more: string): readonly Range[] {
    const character = this.#take();
    if (character !== '\\') return [[at(character), at(character)]];
    const escaped = this.#take();
    const known = Object.hasOwn(ESCAPED, escaped) ? ESCAPED[escaped] : undefined;
    if (known !== undefined) return known;
    if (SYNTAX.includes(escaped) || more.includes(escaped)) return [[at(escaped), at(escaped)]];
    throw new BadPattern(`\\${escaped} is not taken`);
  }

  #repeated(node: Node): Node {
    const found = QUANTIFIER.exec(this.#characters.slice(this.#next, this.#next + QUANTIFIER_LENGTH).join(''));
    if (found === null && this.#peek() === '{') throw new BadPattern(`a repetition counts to ${MAX_COUNT} at most`);
    if (found === null) return node;
    const [whole, least, comma, most] = found;
    this.#next += whole.length;
    if (this.#isNext('?')) throw new BadPattern('lazy repetition is not taken: it changes no answer');
    if (least === undefined)
      return { kind: 'repeat', node, least: whole === '+' ? 1 : 0, most: whole === '?' ? 1 : Infinity };
    const upTo = most === undefined ? (comma === undefined ? Number(least) : Infinity) : Number(most);
    if (Number(least) > MAX_COUNT || (upTo > MAX_COUNT && upTo !== Infinity))
      throw new BadPattern(`a repetition counts to ${MAX_COUNT} at most`);
    return { kind: 'repeat', node, least: Number(least), most: upTo };
  }
}
