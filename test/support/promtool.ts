/** Rules of alerts, as promtool reads and tests them. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { promtool as service } from './services/promtool.ts';
import { describeService } from './services/suites.ts';
import { ownProgram } from './services/ways.ts';

const run = promisify(execFile);

/** What it says; throws with that where it finds fault. */
export async function promtool(...args: readonly string[]): Promise<string> {
  const { stdout } = await run(ownProgram(service).path, args);
  return stdout;
}

/** The suite, where there is a promtool. */
export const describePromtool = (title: string, suite: () => void): void => {
  describeService(title, service, 'own', suite);
};
