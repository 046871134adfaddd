import { expect, test } from 'vitest';
import { systemClock } from './clock.ts';

test('many may sleep under one signal, which wakes them all, and nobody is warned of a leak', async () => {
  const warnings: Error[] = [];
  const keep = (warning: Error): void => void warnings.push(warning);
  process.on('warning', keep);
  const stop = new AbortController();
  const sleepers = Array.from({ length: 30 }, () => systemClock.sleep(60_000, stop.signal));
  stop.abort();
  await Promise.all(sleepers);
  await systemClock.sleep(1, stop.signal);
  await new Promise(setImmediate);
  process.off('warning', keep);
  expect(warnings).toEqual([]);
});
