import fc from 'fast-check';
import { expect, test } from 'vitest';
import { epochOf, FUTURE_BOUND_MS, lookUpBefore } from './epoch.ts';

const epochMs = fc.integer({ min: 1, max: 30 * 86_400_000 });
const arrival = fc.integer({ min: 0, max: 4_000_000_000_000 });

test('an epoch holds its first millisecond and not that of the next', () => {
  expect([0, 999, 1000, 1999, 2000].map((ms) => epochOf(ms, 1000))).toEqual([0, 0, 1, 1, 2]);
  fc.assert(
    fc.property(arrival, epochMs, (ms, length) => {
      const epoch = epochOf(ms, length);
      expect(epoch * length <= ms && ms < (epoch + 1) * length).toBe(true);
    }),
  );
});

test('an event that arrived before the oldest epoch is looked up, however far in the future its time lay', () => {
  fc.assert(
    fc.property(arrival, epochMs, fc.nat(10), fc.nat(FUTURE_BOUND_MS), (ms, length, later, ahead) => {
      const oldest = epochOf(ms, length) + 1 + later;
      expect((ms + ahead) * 1000).toBeLessThan(lookUpBefore(oldest, length));
    }),
  );
});

test('the bound of the look-up is no wider than the future bound makes it', () => {
  const [oldest, length] = [20, 60_000];
  const lastArrival = oldest * length - 1;
  expect(epochOf(lastArrival, length)).toBe(oldest - 1);
  expect(lookUpBefore(oldest, length)).toBe((lastArrival + 1 + FUTURE_BOUND_MS) * 1000);
});
