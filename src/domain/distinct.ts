/**
 * Unique counts that merge: the exact members while there are at most `EXACT_MEMBERS`, a HyperLogLog sketch beyond. Which of
 * the two a union is follows from the size of the exact union alone, so the order and the cuts of merging never show.
 */
import { createHash } from 'node:crypto';

/** Up to so many members a count is exact. */
export const EXACT_MEMBERS = 1000;
/** 2^12 registers: a relative standard error of 1.04 / √4096 (Flajolet et al., HyperLogLog, 2007). */
const INDEX_BITS = 12n;
const REGISTERS = 4096;
export const RELATIVE_ERROR = '0.01625';
/** What is left of 64 bits behind the index; a rank of more has never been seen, and counts as this one. */
const RANK_BITS = 52;
export const MEMBER_BYTES = 8;

/** `members`: digests of 8 bytes, as latin1 strings. */
export type Distinct =
  | { readonly members: ReadonlySet<string>; readonly registers?: undefined }
  | { readonly members?: undefined; readonly registers: Uint8Array };

/** What stands for a value: 64 bits of its SHA-256. Two of 1,000 values share one with a chance below 10^-13. */
export const memberOf = (value: string): string =>
  createHash('sha256').update(value).digest().subarray(0, MEMBER_BYTES).toString('latin1');

function placeOf(member: string): { readonly index: number; readonly rank: number } {
  const bits = Buffer.from(member, 'latin1').readBigUInt64BE();
  const rest = BigInt.asUintN(RANK_BITS, bits);
  // Zeros in front of the first one, and one more.
  const rank = Math.min(RANK_BITS, RANK_BITS - rest.toString(2).length + 1);
  return { index: Number(bits >> (64n - INDEX_BITS)), rank: rest === 0n ? RANK_BITS : rank };
}

function addMembers(registers: Uint8Array, members: Iterable<string>): void {
  for (const member of members) {
    const { index, rank } = placeOf(member);
    if (rank > (registers[index] ?? 0)) registers[index] = rank;
  }
}

/** Gathers members and other counts; never changes what it was given. */
export class DistinctBuilder {
  #members = new Set<string>();
  #registers: Uint8Array | undefined;

  add(member: string): void {
    if (this.#registers !== undefined) addMembers(this.#registers, [member]);
    else this.#members.add(member);
    this.#collapse();
  }

  merge({ members, registers }: Distinct): void {
    if (registers === undefined) {
      for (const member of members) this.add(member);
      return;
    }
    this.#sketch();
    const mine = this.#registers ?? new Uint8Array(REGISTERS);
    registers.forEach((rank, index) => {
      if (rank > (mine[index] ?? 0)) mine[index] = rank;
    });
  }

  build(): Distinct {
    return this.#registers === undefined
      ? { members: new Set(this.#members) }
      : { registers: Uint8Array.from(this.#registers) };
  }

  #collapse(): void {
    if (this.#members.size > EXACT_MEMBERS) this.#sketch();
  }

  #sketch(): void {
    if (this.#registers !== undefined) return;
    this.#registers = new Uint8Array(REGISTERS);
    addMembers(this.#registers, this.#members);
    this.#members = new Set();
  }
}

export function mergeDistinct(a: Distinct | undefined, b: Distinct | undefined): Distinct | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  const union = new DistinctBuilder();
  union.merge(a);
  union.merge(b);
  return union.build();
}

export const distinctOf = (member: string): Distinct => ({ members: new Set([member]) });

export const isApproximate = ({ registers }: Distinct): boolean => registers !== undefined;

/** Fixed point: fractions are integers times this. No float takes part. */
const ONE = 10n ** 24n;
/** 2 ln 2 in fixed point. */
const TWO_LN_2 = 1_386294361119890618834464n;

/** x + Σ x^(2^k) 2^(k-1), of the share of registers that are empty. */
function sigma(x: bigint): bigint {
  let [power, weight, sum] = [x, ONE, x];
  for (;;) {
    power = (power * power) / ONE;
    const term = (power * weight) / ONE;
    if (term === 0n) return sum;
    sum += term;
    weight *= 2n;
  }
}

/** Ertl's improved raw estimator ("New cardinality estimation algorithms for HyperLogLog sketches", 2017, algorithm 6). */
function estimate(registers: Uint8Array): bigint {
  const held = Array.from({ length: RANK_BITS + 1 }, () => 0n);
  for (const rank of registers) held[rank] = (held[rank] ?? 0n) + 1n;
  const m = BigInt(REGISTERS);
  let z = 0n;
  for (let rank = RANK_BITS; rank >= 1; rank -= 1) z = (z + (held[rank] ?? 0n) * ONE) / 2n;
  z += m * sigma(((held[0] ?? 0n) * ONE) / m);
  return (m * m * ONE * ONE) / TWO_LN_2 / z;
}

/** How many members: exact, or the nearest whole number below the sketch's estimate. */
export const countDistinct = (d: Distinct): bigint =>
  d.registers === undefined ? BigInt(d.members.size) : estimate(d.registers);

/** As text, for stores: `E` and the members in order, or `H` and the registers, both base64. Equal unions have equal texts. */
export function encodeDistinct({ members, registers }: Distinct): string {
  if (registers !== undefined) return `H${Buffer.from(registers).toString('base64')}`;
  return `E${Buffer.from([...members].sort().join(''), 'latin1').toString('base64')}`;
}

/** Throws RangeError for what `encodeDistinct` cannot have made. */
export function decodeDistinct(text: string): Distinct {
  const bytes = Buffer.from(text.slice(1), 'base64');
  const decoded = text.startsWith('H') ? registersOf(bytes) : membersOf(bytes);
  if (decoded === undefined || encodeDistinct(decoded) !== text) throw new RangeError('a unique count that cannot be read');
  return decoded;
}

function membersOf(bytes: Buffer): Distinct | undefined {
  const all = bytes.toString('latin1');
  const length = Math.ceil(all.length / MEMBER_BYTES);
  if (length > EXACT_MEMBERS) return undefined;
  return { members: new Set(Array.from({ length }, (_, n) => all.slice(n * MEMBER_BYTES, (n + 1) * MEMBER_BYTES))) };
}

/** A sketch of nothing at all has no estimate: `sigma` would never end. */
function registersOf(bytes: Buffer): Distinct | undefined {
  const isSketch = bytes.length === REGISTERS && bytes.every((rank) => rank <= RANK_BITS) && bytes.some((rank) => rank > 0);
  return isSketch ? { registers: Uint8Array.from(bytes) } : undefined;
}
