import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backoff } from './backoff.ts';

/** The largest number that `random` may answer. */
const ALMOST_ONE = 1 - Number.EPSILON / 2;
const random = fc.double({ min: 0, max: ALMOST_ONE, noNaN: true });

describe('back-off', () => {
  test('doubles from 20 ms, where jitter gives least', () => {
    expect([1, 2, 3, 4, 5, 6].map((failures) => backoff(failures, () => 0))).toEqual([20, 40, 80, 160, 320, 640]);
  });

  test('rounds up, so that jitter of less than a millisecond still waits', () => {
    expect(backoff(1, () => 0.01)).toBe(21);
  });

  test('never passes 2 s, however often it failed', () => {
    for (const failures of [7, 11, 1e6, Number.MAX_SAFE_INTEGER]) {
      expect(backoff(failures, () => 0)).toBe(1000);
      expect(backoff(failures, () => ALMOST_ONE)).toBe(2000);
    }
  });

  test('jitter takes whole milliseconds from the upper half of what is due', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), random, (failures, roll) => {
        const most = Math.min(2000, 20 * 2 ** failures);
        const ms = backoff(failures, () => roll);
        expect(ms).toBe(Math.round(ms));
        expect(ms).toBeGreaterThanOrEqual(most / 2);
        expect(ms).toBeLessThanOrEqual(most);
      }),
    );
  });

  test('with the same roll, one more failure never waits less', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), random, (failures, roll) => {
        expect(backoff(failures + 1, () => roll)).toBeGreaterThanOrEqual(backoff(failures, () => roll));
      }),
    );
  });
});
