import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  countDistinct,
  decodeDistinct,
  type Distinct,
  DistinctBuilder,
  distinctOf,
  encodeDistinct,
  EXACT_MEMBERS,
  isApproximate,
  memberOf,
  mergeDistinct,
  RELATIVE_ERROR,
} from './distinct.ts';

const POOL = Array.from({ length: 2200 }, (_, n) => memberOf(`member ${String(n)}`));

function counted(members: Iterable<string>): Distinct {
  const builder = new DistinctBuilder();
  for (const member of members) builder.add(member);
  return builder.build();
}
const merged = (parts: readonly Distinct[]): Distinct =>
  parts.reduce<Distinct | undefined>(mergeDistinct, undefined) ?? counted([]);

const bitsOf = (member: string): string =>
  [...Buffer.from(member, 'latin1')].map((byte) => byte.toString(2).padStart(8, '0')).join('');

/** The text of a union from its members alone: their digests in order, or the ranks as HyperLogLog defines them. */
function textOf(union: ReadonlySet<string>): string {
  if (union.size <= 1000) return `E${Buffer.from([...union].sort().join(''), 'latin1').toString('base64')}`;
  const ranks = new Uint8Array(4096);
  for (const bits of [...union].map(bitsOf)) {
    const index = Number.parseInt(bits.slice(0, 12), 2);
    const zeros = bits.slice(12).indexOf('1');
    ranks[index] = Math.max(ranks[index]!, zeros < 0 ? 52 : zeros + 1);
  }
  return `H${Buffer.from(ranks).toString('base64')}`;
}

/** Unions of sizes around the bound, with members that few hashes have. */
const ODD = ['\0'.repeat(8), '\0'.repeat(7) + '\x01', '\xff'.repeat(8), '\xff\xf0' + '\0'.repeat(6)];
const unions = fc
  .tuple(fc.oneof(fc.constantFrom(0, 1, 999, 1000, 1001), fc.integer({ min: 0, max: 2200 })), fc.nat(4))
  .map(([size, odd]) => [...ODD.slice(0, odd), ...POOL].slice(0, size));
/** The same union cut into parts that overlap, each in another order. */
const cuts = unions.chain((members) =>
  fc.record({
    members: fc.constant(members),
    bounds: fc.array(fc.tuple(fc.nat(members.length), fc.nat(members.length)), { maxLength: 4 }),
    turned: fc.boolean(),
  }),
);
const partsOf = ({ members, bounds, turned }: typeof cuts extends fc.Arbitrary<infer T> ? T : never): Distinct[] => {
  const between = bounds.map(([a, b]) => members.slice(Math.min(a, b), Math.max(a, b)));
  const whole = bounds.flat().reduce((a, b) => Math.max(a, b), 0);
  const half = Math.min(...bounds.flat(), members.length);
  // What the cuts left out, so that the parts together are the union.
  const rest = [members.slice(0, half), members.slice(half, whole), members.slice(whole)];
  const parts = [...between, ...rest].map((part) => counted(turned ? part.toReversed() : part));
  return turned ? parts.reverse() : parts;
};

describe('a unique count', () => {
  test('is exact if its union has at most 1000 members, and the same sketch if it has more, however it is cut and merged', () => {
    fc.assert(
      fc.property(cuts, (cut) => {
        const union = merged(partsOf(cut));
        expect(encodeDistinct(union)).toBe(textOf(new Set(cut.members)));
        expect(isApproximate(union)).toBe(cut.members.length > EXACT_MEMBERS);
        if (!isApproximate(union)) expect(countDistinct(union)).toBe(BigInt(cut.members.length));
      }),
      { numRuns: 60 },
    );
  });

  test('merges to the same in any order and bracketing, exact counts with sketches', () => {
    const part = fc
      .tuple(fc.nat(1200), fc.constantFrom(0, 3, 700, 1000, 1001, 1200))
      .map(([from, size]) => counted(POOL.slice(from, from + size)));
    fc.assert(
      fc.property(part, part, part, (a, b, c) => {
        const merge = (x: Distinct, y: Distinct): Distinct => mergeDistinct(x, y)!;
        const left = encodeDistinct(merge(merge(a, b), c));
        expect(encodeDistinct(merge(a, merge(b, c)))).toBe(left);
        expect(encodeDistinct(merge(c, merge(b, a)))).toBe(left);
        expect(encodeDistinct(merge(merge(a, a), merge(b, merge(c, a))))).toBe(left);
      }),
      { numRuns: 60 },
    );
  });

  test('merged with none, or with one of nothing, is what it was', () => {
    for (const one of [distinctOf('12345678'), counted(POOL)]) {
      expect([mergeDistinct(one, undefined), mergeDistinct(undefined, one)]).toEqual([one, one]);
      expect(mergeDistinct(one, counted([]))).toEqual(one);
    }
    expect(mergeDistinct(undefined, undefined)).toBeUndefined();
  });

  test('changes none of those it was merged from', () => {
    const [a, b] = [counted(POOL.slice(0, 700)), counted(POOL.slice(500, 2000))];
    const before = [a, b].map(encodeDistinct);
    const builder = new DistinctBuilder();
    builder.merge(b);
    const early = builder.build();
    builder.merge(a);
    builder.add(POOL.at(-1)!);
    expect([a, b, early].map(encodeDistinct)).toEqual([...before, before[1]]);
  });

  test('counts a value once: members are equal for equal values, and are eight bytes', () => {
    expect(counted(['a', 'b', 'a'].map(memberOf))).toEqual({ members: new Set([memberOf('a'), memberOf('b')]) });
    // The first eight bytes of SHA-256 of "abc" (FIPS 180-2, appendix B.1).
    expect(Buffer.from(memberOf('abc'), 'latin1').toString('hex')).toBe('ba7816bf8f01cfea');
    expect(memberOf('é')).not.toBe(memberOf('e\u0301'));
  });
});

/** Ertl's estimator with floats, as his paper writes it. */
function reference(registers: Uint8Array): number {
  const sigma = (x: number): number => {
    let [power, sum, last] = [x, x, -1];
    for (let weight = 1; sum !== last; weight *= 2) {
      last = sum;
      power *= power;
      sum += power * weight;
    }
    return sum;
  };
  const held = (rank: number): number => registers.filter((r) => r === rank).length;
  let z = 0;
  for (let rank = 52; rank >= 1; rank -= 1) z = (z + held(rank)) / 2;
  return 4096 ** 2 / (2 * Math.LN2) / (z + 4096 * sigma(held(0) / 4096));
}

describe('an estimate', () => {
  const STANDARD_ERROR = Number(RELATIVE_ERROR);
  const sketch = (count: number, seed: string): Distinct =>
    counted(Array.from({ length: count }, (_, n) => memberOf(`${seed} ${String(n)}`)));
  const sizes = [1001, 2000, 5000, 10_000, 20_000, 50_000];

  test('has the standard error that an answer names', () => {
    expect(STANDARD_ERROR).toBeCloseTo(1.04 / Math.sqrt(4096), 5);
  });

  test.each(sizes)('of %i members lies within five standard errors, and is a whole number', (count) => {
    for (const seed of ['a', 'b', 'c']) {
      const estimate = countDistinct(sketch(count, seed));
      expect(typeof estimate).toBe('bigint');
      expect(Math.abs(Number(estimate) - count)).toBeLessThan(5 * STANDARD_ERROR * count);
    }
  });

  test('has no bias: the mean of many is much nearer', () => {
    const estimates = Array.from({ length: 25 }, (_, n) => Number(countDistinct(sketch(4000, `seed ${String(n)}`))));
    const mean = estimates.reduce((a, b) => a + b, 0) / estimates.length;
    expect(Math.abs(mean - 4000)).toBeLessThan(((3 * STANDARD_ERROR) / 5) * 4000);
  });

  test('is, in integers, the whole part of what the formula says in floats', () => {
    const ranks = fc.uint8Array({ min: 0, max: 52, minLength: 4096, maxLength: 4096 });
    const low = ranks.map((all) => all.map((rank) => rank >> 4));
    fc.assert(
      fc.property(fc.oneof(ranks, low), (registers) => {
        const [found, expected] = [Number(countDistinct({ registers })), reference(registers)];
        expect(Math.abs(found - expected)).toBeLessThanOrEqual(1 + expected * 1e-12);
      }),
      { numRuns: 20 },
    );
  });
});

describe('the text of a unique count', () => {
  test('is read as what was written', () => {
    fc.assert(
      fc.property(unions, (members) => {
        const union = counted(members);
        expect(decodeDistinct(encodeDistinct(union))).toEqual(union);
      }),
      { numRuns: 40 },
    );
  });

  const base64 = (bytes: Uint8Array | string): string =>
    (typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : Buffer.from(bytes)).toString('base64');
  const ranks = (length: number, rank: number): Uint8Array => new Uint8Array(length).fill(rank);
  test.each<[string, string]>([
    ['nothing', ''],
    ['another letter', `X${base64('12345678')}`],
    ['no letter', base64('12345678')],
    ['half a member', `E${base64('123456781234')}`],
    ['members out of order', `E${base64('bbbbbbbbaaaaaaaa')}`],
    ['a member twice', `E${base64('aaaaaaaaaaaaaaaa')}`],
    ['more members than are kept', `E${base64([...POOL.slice(0, 1001)].sort().join(''))}`],
    ['letters that are no base64', `E${base64('12345678')}!`],
    ['base64 without its end', `E${base64('12345678').slice(0, -1)}`],
    ['too few registers', `H${base64(ranks(4095, 1))}`],
    ['too many registers', `H${base64(ranks(4097, 1))}`],
    ['a rank that no member has', `H${base64(ranks(4096, 53))}`],
    ['registers that nothing was put in', `H${base64(ranks(4096, 0))}`],
    ['a sketch of no registers', 'H'],
  ])('that holds %s is refused', (_, text) => {
    expect(() => decodeDistinct(text)).toThrow(new RangeError('a unique count that cannot be read'));
  });
});
