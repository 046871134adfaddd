import { expect, test } from 'vitest';
import { Holdings } from './holdings.ts';

/** Holds that end when they are told to, not when they are asked to. */
function stage() {
  const running = new Map<number, { readonly giveUp: AbortSignal; readonly end: () => void; readonly fail: () => void }>();
  const log: string[] = [];
  const holdings = new Holdings<number>(
    (partition, giveUp) => {
      log.push(`begin ${partition}`);
      return new Promise((resolve, reject) => {
        running.set(partition, { giveUp, end: resolve, fail: () => reject(new Error(`partition ${partition}`)) });
      });
    },
    () => void log.push('ended'),
  );
  return { holdings, running, log };
}
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('what is given up is held until it has drained, and what stays is left alone', async () => {
  const { holdings, running, log } = stage();
  holdings.assign([1, 2]);
  holdings.assign([2, 3]);
  expect(log).toEqual(['begin 1', 'begin 2', 'begin 3']);
  expect([1, 2, 3].map((n) => running.get(n)?.giveUp.aborted)).toEqual([true, false, false]);
  expect(holdings.held).toEqual([1, 2, 3]);
  running.get(1)?.end();
  await settle();
  expect(holdings.held).toEqual([2, 3]);
  expect(log.at(-1)).toBe('ended');
});

test('what is ours again while it drains begins anew, once it has drained', async () => {
  const { holdings, running, log } = stage();
  holdings.assign([1]);
  holdings.assign([]);
  holdings.assign([1]);
  expect(log).toEqual(['begin 1']);
  running.get(1)?.end();
  await settle();
  expect(log).toEqual(['begin 1', 'begin 1', 'ended']);
  expect(running.get(1)?.giveUp.aborted).toBe(false);
  expect(holdings.held).toEqual([1]);
});

test('what ends by itself is not begun again, and after a failure nothing is', async () => {
  const { holdings, running, log } = stage();
  holdings.assign([1, 2]);
  running.get(1)?.end();
  await settle();
  expect(holdings.held).toEqual([2]);
  running.get(2)?.fail();
  await settle();
  expect(holdings.failure?.message).toBe('partition 2');
  holdings.assign([1, 2, 3]);
  expect(log).toEqual(['begin 1', 'begin 2', 'ended', 'ended']);
});

test('a drain waits for all', async () => {
  const { holdings, running } = stage();
  holdings.assign([1, 2]);
  let isOver = false;
  const drained = holdings.drain().then(() => (isOver = true));
  running.get(1)?.end();
  await settle();
  expect(isOver).toBe(false);
  running.get(2)?.end();
  await drained;
  expect(holdings.held).toEqual([]);
});
