import { describe, expect, test } from 'vitest';
import { ManualClock, settled } from '../../test/support/manual-clock.ts';
import { recordedFacts } from '../../test/support/silent-facts.ts';
import { MeterError } from '../errors.ts';
import { type Role, runRole } from './role.ts';
import { Wake } from './wake.ts';

const down = () => new MeterError('DATABASE_UNAVAILABLE', 'publish: down');

function start(role: Omit<Role, 'name'>) {
  const clock = new ManualClock();
  const { facts, count } = recordedFacts();
  const stop = new AbortController();
  const done = runRole({ clock, facts, random: () => 0 }, { name: 'role', ...role }, stop.signal);
  return { clock, count, stop, done };
}

describe('a role', () => {
  test('steps again after its wait, not before', async () => {
    let steps = 0;
    const { clock, stop, done } = start({ everyMs: 100, step: async () => void (steps += 1) });
    await settled();
    await clock.advance(99);
    expect(steps).toBe(1);
    await clock.advance(1);
    expect(steps).toBe(2);
    stop.abort();
    await done;
    expect(clock.sleeping).toBe(0);
  });

  test('waits out what is transient, and says when it is over', async () => {
    let left = 2;
    const { clock, count, stop, done } = start({
      everyMs: 1000,
      step: async () => {
        left -= 1;
        if (left >= 0) throw down();
      },
    });
    await settled();
    await clock.advance(200);
    expect([count('waiting'), count('recovered')]).toEqual([2, 1]);
    stop.abort();
    await done;
  });

  test('throws what is fatal', async () => {
    const { done, count } = start({
      everyMs: 1,
      step: () => Promise.reject(new MeterError('ARCHIVE_DAMAGED', 'read x: damaged')),
    });
    await expect(done).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED' });
    expect(count('stopped')).toBe(1);
  });

  test('is woken early by a poke, also by one that came while it worked', async () => {
    const clock = new ManualClock();
    const wake = new Wake(clock);
    const stop = new AbortController();
    let steps = 0;
    const role: Role = {
      name: 'woken',
      everyMs: 1000,
      wake,
      step: async () => {
        steps += 1;
        if (steps === 1) wake.poke();
      },
    };
    const done = runRole({ clock, facts: recordedFacts().facts, random: () => 0 }, role, stop.signal);
    await settled();
    expect(steps).toBe(2);
    wake.poke();
    await settled();
    expect(steps).toBe(3);
    stop.abort();
    await done;
    expect(clock.sleeping).toBe(0);
  });

  test('is not hurried by a poke while a dependency is down, and finds the poke afterwards', async () => {
    const clock = new ManualClock();
    const wake = new Wake(clock);
    const stop = new AbortController();
    let steps = 0;
    const step = async (): Promise<void> => {
      steps += 1;
      if (steps === 1) throw down();
    };
    const ports = { clock, facts: recordedFacts().facts, random: () => 0 };
    const done = runRole(ports, { name: 'woken', everyMs: 1000, wake, step }, stop.signal);
    await settled();
    wake.poke();
    await clock.advance(19);
    expect(steps).toBe(1);
    await clock.advance(1);
    expect(steps).toBe(3);
    stop.abort();
    await done;
  });

  test('takes no step once it is stopped', async () => {
    const stop = new AbortController();
    stop.abort();
    let steps = 0;
    const role: Role = { name: 'late', everyMs: 1, step: async () => void (steps += 1) };
    await runRole({ clock: new ManualClock(), facts: recordedFacts().facts, random: () => 0 }, role, stop.signal);
    expect(steps).toBe(0);
  });
});
