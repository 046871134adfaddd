import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { runSchedules } from './main.ts';
import { runScript, SCRIPT_NAMES } from './mutants/scripts.ts';
import { EXPECTED } from './tally.ts';

/** How many schedules; beyond what runs here, two processes share the rest. */
const SCHEDULES = Number(process.env.SIMULATION_SCHEDULES ?? 300);
const HERE = 300;
const STEPS = 300;
const FIFTEEN_MINUTES_MS = 900_000;

test(
  `${Math.min(SCHEDULES, HERE)} schedules of ${STEPS} steps hold every invariant, and every fault and check happened`,
  async () => {
    const { counts, failed } = await runSchedules(Math.min(SCHEDULES, HERE), STEPS, 1);
    expect(failed).toBeUndefined();
    expect(SCHEDULES < HERE ? [] : EXPECTED.filter((name) => (counts[name] ?? 0) === 0)).toEqual([]);
  },
  FIFTEEN_MINUTES_MS,
);

test.runIf(SCHEDULES > HERE)(
  `${SCHEDULES - HERE} more schedules hold`,
  async () => {
    const more = ['scripts/simulate.mjs', String(SCHEDULES - HERE), String(STEPS), '--seed', String(HERE + 1)];
    const { stdout } = await promisify(execFile)(process.execPath, more).catch(
      (error: unknown) => error as { stdout: string },
    );
    process.stdout.write(stdout);
    expect(stdout).not.toMatch(/FAILS|never happened/);
    expect(stdout).toMatch(new RegExp(`${SCHEDULES - HERE} schedules`));
  },
  FIFTEEN_MINUTES_MS,
);

test('the same seed gives the same schedule', async () => {
  expect((await runSchedules(20, STEPS, 1)).counts).toEqual((await runSchedules(20, STEPS, 1)).counts);
});

test.each(SCRIPT_NAMES)('the written schedule %s holds', async (name) => {
  expect(await runScript(name)).toBeUndefined();
});
