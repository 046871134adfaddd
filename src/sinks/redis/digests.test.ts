import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { digestsOf, Mixer } from './digests.ts';
import { BucketKeys } from './keys.ts';

const digestOf = (n: number): string => createHash('sha256').update(String(n)).digest().subarray(0, 16).toString('latin1');
const KEYED = Array.from({ length: 5000 }, (_, n) => ({ digest: digestOf(n), epoch: 3 }));

test('the name of its page and the bytes in it say the whole digest', () => {
  const keys = new BucketKeys({ prefix: 'mf' }, 3);
  const epochs = [{ epoch: 3, bits: 12 }];
  const { names, places, bytes } = digestsOf(KEYED, { keys, incarnation: 'i', oldest: 0, epochs });
  const mixer = new Mixer('i');
  KEYED.forEach(({ digest }, n) => {
    const kept = bytes.subarray(n * 15, n * 15 + 15);
    const page = Number.parseInt(names[places[n]! - 1]!.split('.')[1]!, 36);
    const first = ((page >> 4) << 8) | kept[0]!;
    const rest = `\0\0${kept.subarray(1).toString('latin1')}`;
    const head = (first - mixer.hash(rest)) & 0xffff;
    expect(String.fromCharCode(head >> 8, head & 0xff) + rest.slice(2)).toBe(digest);
    expect(page & 0xf).toBe(kept[0]! >> 4);
  });
});

test('digests that begin alike spread over the pages, and elsewhere in another incarnation', () => {
  const pagesOf = (incarnation: string): number[] => {
    const mixer = new Mixer(incarnation);
    return KEYED.map(({ digest }) => mixer.first(`ab${digest.slice(2)}`) >> 4);
  };
  const [one, other] = [pagesOf('i'), pagesOf('j')];
  expect(new Set(one).size).toBeGreaterThan(2500);
  expect(one.filter((page, n) => page === other[n]).length).toBeLessThan(50);
});

test('an epoch before the oldest is kept with it, and each epoch has its own pages', () => {
  const keys = new BucketKeys({ prefix: 'mf' }, 3);
  const epochs = [
    { epoch: 3, bits: 8 },
    { epoch: 4, bits: 16 },
  ];
  const keyed = [2, 3, 4].map((epoch) => ({ digest: digestOf(1), epoch }));
  const { names, places, own } = digestsOf(keyed, { keys, incarnation: 'i', oldest: 3, epochs });
  expect(own).toEqual([1, 1, 2]);
  expect(places).toEqual([1, 2, 1, 2, 1, 2]);
  expect(names.map((name) => name.startsWith('mf{3}d'))).toEqual([true, true]);
  expect(Math.max(...names.map((name) => name.length))).toBeLessThanOrEqual(30);
});
