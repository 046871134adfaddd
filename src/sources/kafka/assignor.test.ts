import fc from 'fast-check';
import { expect, test } from 'vitest';
import { assign, type Member } from './assignor.ts';

const of = (members: Record<string, number[]>): Member[] => Object.entries(members).map(([id, held]) => ({ id, held }));
const sizes = (shares: ReadonlyMap<string, readonly number[]>): number[] =>
  [...shares.values()].map((share) => share.length);

test('the first member gets all, and nobody at all is no fault', () => {
  expect(assign(4, of({ a: [] }))).toEqual(new Map([['a', [0, 1, 2, 3]]]));
  expect(assign(4, [])).toEqual(new Map());
});

test('what has to move is first taken from its holder, and given once it is free', () => {
  expect(assign(4, of({ a: [0, 1, 2, 3], b: [] }))).toEqual(
    new Map([
      ['a', [0, 1]],
      ['b', []],
    ]),
  );
  expect(assign(4, of({ a: [0, 1], b: [] }))).toEqual(
    new Map([
      ['a', [0, 1]],
      ['b', [2, 3]],
    ]),
  );
});

test('what a member held that is gone is given at once, and the others keep theirs', () => {
  expect(assign(6, of({ a: [0, 5], c: [1, 3] }))).toEqual(
    new Map([
      ['a', [0, 2, 5]],
      ['c', [1, 3, 4]],
    ]),
  );
});

test('of two that hold one the first goes on; what is no partition any more is forgotten', () => {
  expect(assign(3, of({ b: [1, 7, 1], a: [1, 2] }))).toEqual(
    new Map([
      ['a', [1, 2]],
      ['b', [0]],
    ]),
  );
});

test('from any start, when members do as they are told, all is held once, evenly, and then nothing moves', () => {
  const held = fc.array(fc.nat(9), { maxLength: 10 });
  fc.assert(
    fc.property(fc.nat(10), fc.array(held, { minLength: 1, maxLength: 5 }), (partitions, all) => {
      let members: Member[] = all.map((own, n) => ({ id: `m${n}`, held: own }));
      for (let round = 0; round < 2; round += 1) {
        const before = new Map(members.map(({ id, held: own }) => [id, own]));
        const shares = assign(partitions, members);
        const given = [...shares.values()].flat();
        expect(new Set(given).size).toBe(given.length);
        for (const [id, share] of shares) {
          for (const n of share) {
            const holders = [...before].filter(([, own]) => own.includes(n)).map(([holder]) => holder);
            expect(holders.length === 0 || holders.includes(id)).toBe(true);
          }
        }
        members = members.map(({ id }) => ({ id, held: shares.get(id)! }));
      }
      const last = assign(partitions, members);
      expect([...last.values()].flat().sort((a, b) => a - b)).toEqual(Array.from({ length: partitions }, (_, n) => n));
      expect(Math.max(...sizes(last)) - Math.min(...sizes(last))).toBeLessThanOrEqual(1);
      expect(new Map(members.map(({ id, held: own }) => [id, own]))).toEqual(last);
    }),
  );
});
