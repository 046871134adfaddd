import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sparkline } from './sparkline.ts';

const BLOCKS = '▁▂▃▄▅▆▇█';

test('a sparkline goes from the lowest block to the highest', () => {
  expect(sparkline([0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n])).toBe(BLOCKS);
  expect(sparkline([-50n, 0n, 50n])).toBe('▁▄█');
  expect(sparkline([10n ** 40n, 0n])).toBe('█▁');
});

test('a sparkline of equal values is flat, of none it is empty', () => {
  expect(sparkline([5n, 5n, 5n])).toBe('▁▁▁');
  expect(sparkline([-1n])).toBe('▁');
  expect(sparkline([])).toBe('');
});

test('a sparkline has one block a value, and a greater value is never drawn lower', () => {
  fc.assert(
    fc.property(fc.array(fc.bigInt({ min: -(10n ** 50n), max: 10n ** 50n }), { minLength: 1, maxLength: 30 }), (values) => {
      const heights = Array.from(sparkline(values), (block) => BLOCKS.indexOf(block));
      expect(heights).toHaveLength(values.length);
      const ordered = [...values.keys()].sort((a, b) => (values[a]! < values[b]! ? -1 : 1)).map((n) => heights[n]!);
      expect(ordered).toEqual([...heights].sort((a, b) => a - b));
      expect(ordered[0]).toBe(0);
    }),
  );
});
