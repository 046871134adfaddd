import { expect, test } from 'vitest';
import { ManualClock, settled } from '../../test/support/manual-clock.ts';
import type { BucketState } from '../contract.ts';
import { SpeedReads } from './speed-reads.ts';

const QUERY = { edges: [0, 60], fromMinute: 0, toMinute: 60 };
const STATES: readonly BucketState[] = [];
const LATE = { code: 'SPEED_UNAVAILABLE' };

/** A store whose replies are given by hand; and how reads through the deadline end. */
function scene({ deadlineMs = 500, arrived = () => Promise.resolve() } = {}) {
  const clock = new ManualClock();
  const calls: { reply: () => void; fail: (error: Error) => void }[] = [];
  const store = {
    database: undefined,
    read: () => new Promise<readonly BucketState[]>((resolve, fail) => calls.push({ reply: () => resolve(STATES), fail })),
  };
  const reads = new SpeedReads(store, { clock, deadlineMs, arrived });
  return { clock, calls, read: () => reads.read([0], QUERY) };
}

/** A read that is given up on. */
async function late({ clock, read }: ReturnType<typeof scene>): Promise<void> {
  const given = expect(read()).rejects.toMatchObject(LATE);
  await clock.advance(500);
  await given;
}

test('what is answered in time is handed on, as are failures, and nothing is left asleep', async () => {
  const at = scene();
  const read = at.read();
  await at.clock.advance(499);
  at.calls[0]!.reply();
  expect(await read).toBe(STATES);
  const failing = at.read();
  at.calls[1]!.fail(new Error('no'));
  await expect(failing).rejects.toThrow('no');
  await settled();
  expect(at.clock.sleeping).toBe(0);
});

test('a silent store costs one query the deadline, and then one query in a deadline’s time', async () => {
  const at = scene();
  await late(at);
  for (let n = 0; n < 10; n += 1) await expect(at.read()).rejects.toMatchObject(LATE);
  expect(at.calls).toHaveLength(1);
  await at.clock.advance(500);
  const trying = expect(at.read()).rejects.toMatchObject(LATE);
  await expect(at.read()).rejects.toMatchObject(LATE);
  expect(at.calls).toHaveLength(2);
  await at.clock.advance(500);
  await trying;
  await expect(at.read()).rejects.toMatchObject(LATE);
  expect(at.calls).toHaveLength(2);
});

test('once it is heard again, be it late, every query asks it', async () => {
  const at = scene();
  await late(at);
  at.calls[0]!.reply();
  await settled();
  const reads = [at.read(), at.read()];
  for (const { reply } of at.calls) reply();
  expect(await Promise.all(reads)).toEqual([STATES, STATES]);
});

test('a late failure is nobody’s, and is not taken for a reply', async () => {
  const at = scene();
  await late(at);
  at.calls[0]!.fail(new Error('no'));
  await settled();
  await expect(at.read()).rejects.toMatchObject(LATE);
  expect(at.calls).toHaveLength(1);
});

test('a try that ends in another failure leaves it open for another deadline', async () => {
  const at = scene();
  await late(at);
  await at.clock.advance(500);
  const trying = at.read();
  at.calls[1]!.fail(new Error('no'));
  await expect(trying).rejects.toThrow('no');
  await expect(at.read()).rejects.toMatchObject(LATE);
  await at.clock.advance(500);
  const next = at.read();
  at.calls[2]!.reply();
  expect(await next).toBe(STATES);
});

test('a process that was held up itself takes what has arrived', async () => {
  const at = scene({
    arrived: () => {
      at.calls[0]!.reply();
      return Promise.resolve();
    },
  });
  const read = at.read();
  await at.clock.advance(500);
  expect(await read).toBe(STATES);
});
