// A Meterfold of our own, in a process of its own: started, measured from outside by /proc, stopped by its pid.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { cpuMs, memoryMb, threadsOf } from './processes.mjs';

export const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const READY_WITHIN_MS = 120_000;
const GONE_WITHIN_MS = 60_000;
/** The processes that are still alive, so that an error leaves none behind. */
const alive = new Set();
export const killAll = () => alive.forEach((child) => child.kill('SIGKILL'));

export class Server {
  constructor(dataDir) {
    this.dataDir = dataDir;
  }

  /** Resolves once answers are served; answers how long that took, ms. */
  async start({ nodeArgs = [], env = {} } = {}) {
    const began = performance.now();
    const args = [...nodeArgs, MAIN, 'dev', '--data-dir', this.dataDir, '--port', '0'];
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, METERFOLD_LOG_LEVEL: 'warn', ...env },
    });
    this.process = child;
    alive.add(child);
    child.once('exit', () => alive.delete(child));
    let [out, err] = ['', ''];
    child.stderr.on('data', (chunk) => (err = (err + chunk).slice(-4000)));
    this.url = await new Promise((resolve, reject) => {
      const fail = (what) => reject(new Error(`Meterfold did not start: ${what}\n${err}`));
      const timer = setTimeout(() => fail('no answer in time'), READY_WITHIN_MS);
      const onExit = (code) => fail(`exit code ${code}`);
      child.once('exit', onExit);
      child.stdout.on('data', (chunk) => {
        out += chunk;
        const found = /ready on (\S+)/.exec(out);
        if (found === null) return;
        clearTimeout(timer);
        child.off('exit', onExit);
        resolve(found[1]);
      });
    });
    return performance.now() - began;
  }

  /** Answers how long it took, ms. */
  async stop(signal = 'SIGTERM') {
    const child = this.process;
    this.process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return 0;
    const began = performance.now();
    const gone = once(child, 'exit');
    child.kill(signal);
    const late = setTimeout(() => child.kill('SIGKILL'), GONE_WITHIN_MS);
    await gone;
    clearTimeout(late);
    return performance.now() - began;
  }

  /** CPU since the start, ms: of the process, of its main thread, of the busiest other one (the database). */
  cpu() {
    const { pid } = this.process;
    const others = threadsOf(pid).filter((tid) => tid !== String(pid));
    const database = Math.max(0, ...others.map((tid) => cpuMs(pid, tid)));
    return { total: cpuMs(pid), main: cpuMs(pid, String(pid)), database };
  }

  /** MB: resident now, and at most so far. */
  memory() {
    return memoryMb(this.process.pid);
  }
}

/** What was used between two looks. */
export const cpuBetween = (before, after) =>
  Object.fromEntries(Object.entries(after).map(([name, ms]) => [name, ms - before[name]]));
