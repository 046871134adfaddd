import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Packer, unpack } from './pack.ts';

test('what is packed is unpacked: whole numbers, text of bytes, lists and maps', () => {
  const text = fc.array(fc.nat(255)).map((bytes) => Buffer.from(bytes).toString('latin1'));
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.maxSafeInteger(), fc.nat(70_000))), text, (numbers, word) => {
      const packed = new Packer(1).map(2).text('numbers').ints(numbers).text('word').text(word).bytes();
      const found = unpack(packed) as ReadonlyMap<string, unknown>;
      expect(found.get('numbers')).toEqual(numbers);
      expect((found.get('word') as Buffer).toString('latin1')).toBe(word);
    }),
  );
});

test.each<[string, unknown]>([
  ['7f', 127],
  ['e0', -32],
  ['ccff', 255],
  ['cd0100', 256],
  ['ce00010000', 65_536],
  ['cf0000e8d4a50fff00', 0xe8d4a50fff00],
  ['d0df', -33],
  ['d1ff00', -256],
  ['d2ffff0000', -65_536],
  ['d3ffffff172b5af000', -1_000_000_000_000],
  ['9301a162c0'.replace('c0', '02'), [1, Buffer.from('b'), 2]],
  ['dc000105', [5]],
  ['d90161', Buffer.from('a')],
])('%s as Redis writes it', (hex, value) => {
  expect(unpack(Buffer.from(hex, 'hex'))).toEqual(value);
});

test.each([['c0'], ['ca3f800000'], ['92', '01'].join('').slice(0, 4), 'a5616263', '0101'].flat())('%s is refused', (hex) => {
  expect(() => unpack(Buffer.from(hex, 'hex'))).toThrow(RangeError);
});
