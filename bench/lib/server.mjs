// A Meterfold of our own, in a process of its own: started, measured from outside by /proc, stopped by its pid.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const READY_WITHIN_MS = 120_000;
const GONE_WITHIN_MS = 60_000;
/** Ticks of /proc/PID/stat are hundredths of a second on every Linux that Node runs on. */
const TICK_MS = 10;

const read = (path) => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // no /proc, or the thread has just ended
  }
};

/** CPU of a stat file, ms: utime and stime stand behind the name, which may hold blanks. */
function cpuOf(path) {
  const fields = read(path)?.split(') ').at(-1)?.split(' ');
  return fields === undefined ? undefined : (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

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
    const of = (tid) => cpuOf(`/proc/${pid}/task/${tid}/stat`) ?? 0;
    const others = this.#tids().filter((tid) => tid !== String(pid));
    return { total: cpuOf(`/proc/${pid}/stat`) ?? 0, main: of(pid), database: Math.max(0, ...others.map(of)) };
  }

  #tids() {
    try {
      return readdirSync(`/proc/${this.process.pid}/task`);
    } catch {
      return []; // no /proc
    }
  }

  /** MB: resident now, and at most so far. */
  memory() {
    const status = read(`/proc/${this.process.pid}/status`) ?? '';
    const mb = (name) => Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024);
    return { rss: mb('VmRSS'), peak: mb('VmHWM') };
  }
}

/** What was used between two looks. */
export const cpuBetween = (before, after) =>
  Object.fromEntries(Object.entries(after).map(([name, ms]) => [name, ms - before[name]]));
