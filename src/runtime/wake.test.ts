import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ManualClock, settled } from '../../test/support/manual-clock.ts';
import { Wake } from './wake.ts';

const NEVER = new AbortController().signal;

function watched(promise: Promise<void>) {
  const state = { over: false, promise: promise.then(() => void (state.over = true)) };
  return state;
}

describe('a wake', () => {
  test('unpoked, waits as long as it was told', async () => {
    const clock = new ManualClock();
    const wait = watched(new Wake(clock).wait(100, NEVER));
    await clock.advance(99);
    expect(wait.over).toBe(false);
    await clock.advance(1);
    expect(wait.over).toBe(true);
  });

  test('ends the wait at a poke, without a sleeper left behind', async () => {
    const clock = new ManualClock();
    const wake = new Wake(clock);
    const wait = watched(wake.wait(100, NEVER));
    await settled();
    wake.poke();
    await settled();
    expect([wait.over, clock.now(), clock.sleeping]).toEqual([true, 0, 0]);
  });

  test('remembers a poke that nobody waited for, once', async () => {
    const clock = new ManualClock();
    const wake = new Wake(clock);
    wake.poke();
    wake.poke();
    await wake.wait(100, NEVER);
    expect(clock.now()).toBe(0);
    const second = watched(wake.wait(100, NEVER));
    await settled();
    expect(second.over).toBe(false);
    await clock.advance(100);
    await second.promise;
  });

  test('ends the wait when stopped, and does not begin one after that', async () => {
    const clock = new ManualClock();
    const wake = new Wake(clock);
    const stop = new AbortController();
    const wait = wake.wait(100, stop.signal);
    stop.abort();
    await wait;
    await wake.wait(100, stop.signal);
    expect([clock.now(), clock.sleeping]).toEqual([0, 0]);
  });

  test('a wait that ran out leaves no poke for the next one', async () => {
    const clock = new ManualClock();
    const wake = new Wake(clock);
    const first = wake.wait(100, NEVER);
    await clock.advance(100);
    await first;
    const second = watched(wake.wait(100, NEVER));
    await clock.advance(99);
    expect(second.over).toBe(false);
    await clock.advance(1);
    await second.promise;
  });

  test('never loses a poke: who looks for work after each wait finds all of it, without time going on', async () => {
    const turns = fc.array(fc.nat(8), { minLength: 1, maxLength: 20 });
    const pass = async (count: number): Promise<void> => {
      for (let n = 0; n < count; n += 1) await Promise.resolve();
    };
    await fc.assert(
      fc.asyncProperty(turns, fc.nat(8), async (pauses, looking) => {
        const clock = new ManualClock();
        const wake = new Wake(clock);
        const stop = new AbortController();
        const work: number[] = [];
        const found: number[] = [];
        const worker = (async () => {
          while (!stop.signal.aborted) {
            // What comes while it is busy with these is found after the next wait, or never.
            found.push(...work.splice(0));
            await pass(looking);
            await wake.wait(1000, stop.signal);
          }
        })();
        for (const [n, pause] of pauses.entries()) {
          await pass(pause);
          work.push(n);
          wake.poke();
        }
        await settled();
        expect(found).toEqual(pauses.map((_, n) => n));
        expect([clock.now(), clock.sleeping]).toEqual([0, 1]);
        stop.abort();
        await worker;
      }),
    );
  });
});
