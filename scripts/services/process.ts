/** Processes that outlive the one that started them, known by their pid and by what stands in their command line. */
import { spawn } from 'node:child_process';
import { existsSync, openSync, readFileSync } from 'node:fs';
import { systemClock } from '../../src/clock.ts';
import { said } from '../../test/support/services/machine.ts';

/** Empty where there is none, and where it has ended and nobody has asked how. */
function commandLine(pid: number): string {
  if (!existsSync('/proc/self/cmdline')) return said('ps', ['-ww', '-o', 'args=', '-p', String(pid)]) ?? '';
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

/** Whether the process is the one that was started: a pid is given to another one some day, a folder of data is not. */
export const isRunning = (pid: number | undefined, mark: string): boolean =>
  pid !== undefined && Number.isSafeInteger(pid) && commandLine(pid).includes(mark);

/** Both of its outputs go to `log`. */
export function startDetached([program, args]: [string, string[]], log: string): Promise<number> {
  const out = openSync(log, 'a');
  const child = spawn(program, args, { detached: true, stdio: ['ignore', out, out] });
  child.unref();
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(new Error(`start ${program}: ${error.message}`, { cause: error })));
    child.once('spawn', () => resolve(child.pid ?? 0));
  });
}

const STOP_MS = 30_000;

/** Stops it in order; what does not stop is killed. Answers whether it had to be. */
export async function stopProcess(pid: number, mark: string, signal: NodeJS.Signals): Promise<boolean> {
  if (!isRunning(pid, mark)) return false;
  process.kill(pid, signal);
  for (const until = performance.now() + STOP_MS; performance.now() < until;) {
    if (!isRunning(pid, mark)) return false;
    await systemClock.sleep(20);
  }
  process.kill(pid, 'SIGKILL');
  while (isRunning(pid, mark)) await systemClock.sleep(20);
  return true;
}
