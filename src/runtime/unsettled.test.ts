import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { settled } from '../../test/support/manual-clock.ts';
import { Unsettled } from './unsettled.ts';

/** Whether a promise is resolved without anything else having to happen. */
async function isResolved(promise: Promise<void>): Promise<boolean> {
  let resolved = false;
  const watched = promise.then(() => (resolved = true));
  await Promise.race([watched, Promise.resolve().then(() => Promise.resolve())]);
  return resolved;
}

describe('what is read and not settled', () => {
  test('leaves room below the bound, none at it', async () => {
    const unsettled = new Unsettled(3);
    unsettled.add(2);
    expect(await isResolved(unsettled.room())).toBe(true);
    unsettled.add(1);
    expect(await isResolved(unsettled.room())).toBe(false);
  });

  test('a batch larger than the bound goes through, and nothing beside it', async () => {
    const unsettled = new Unsettled(2);
    expect(await isResolved(unsettled.room())).toBe(true);
    unsettled.add(500);
    const room = unsettled.room();
    expect(await isResolved(room)).toBe(false);
    unsettled.settle(500);
    await room;
    expect(unsettled.records).toBe(0);
  });

  test('room is given to all who wait, once what is open falls below the bound', async () => {
    const unsettled = new Unsettled(2);
    unsettled.add(3);
    let woken = 0;
    const waiting = [unsettled.room().then(() => (woken += 1)), unsettled.room().then(() => (woken += 1))];
    unsettled.settle(1);
    await settled();
    expect(woken).toBe(0);
    unsettled.settle(1);
    await Promise.all(waiting);
    expect([woken, unsettled.records]).toEqual([2, 1]);
  });

  test('who asks for room after each read never holds more than the bound and one batch, and never stands still', async () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 20 }), sizes, async (bound, batches) => {
        const unsettled = new Unsettled(bound);
        const open: number[] = [];
        let read = 0;
        const reading = (async () => {
          for (const size of batches) {
            await unsettled.room();
            expect(unsettled.records).toBeLessThan(bound);
            unsettled.add(size);
            open.push(size);
            read += 1;
          }
        })();
        while (read < batches.length) {
          await settled();
          const oldest = open.shift();
          if (oldest !== undefined) unsettled.settle(oldest);
        }
        await reading;
        expect(unsettled.records).toBe(open.reduce((sum, size) => sum + size, 0));
      }),
      { numRuns: 50 },
    );
  });
});
