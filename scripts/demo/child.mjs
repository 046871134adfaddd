// A Meterfold of our own: started, killed, started again on the same data.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const READY_WITHIN_MS = 15_000;

export class Child {
  /** @param {string} dataDir */
  constructor(dataDir) {
    this.dataDir = dataDir;
    this.url = undefined;
    this.process = undefined;
    this.startMs = [];
  }

  async start() {
    const began = Date.now();
    const child = spawn(process.execPath, [MAIN, 'dev', '--data-dir', this.dataDir, '--port', '0'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, METERFOLD_LOG_LEVEL: 'warn' },
    });
    this.process = child;
    let [out, err] = ['', ''];
    child.stderr.on('data', (chunk) => (err = (err + chunk).slice(-4000)));
    const url = await new Promise((resolve, reject) => {
      const fail = (what) => reject(new Error(`Meterfold did not start: ${what}\n${err}`));
      const timer = setTimeout(() => fail('no answer in time'), READY_WITHIN_MS);
      child.once('exit', (code) => fail(`exit code ${code}`));
      child.stdout.on('data', (chunk) => {
        out += chunk;
        const found = /ready on (\S+)/.exec(out);
        if (found === null) return;
        clearTimeout(timer);
        resolve(found[1]);
      });
    });
    child.removeAllListeners('exit');
    this.url = url;
    this.startMs.push(Date.now() - began);
  }

  async kill(signal = 'SIGKILL') {
    const child = this.process;
    this.url = undefined;
    this.process = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }
}
