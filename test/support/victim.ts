import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../process/victim.mjs', import.meta.url));

export type Point =
  | 'none'
  | 'before-reply'
  | 'after-apply'
  | 'after-put'
  | 'after-seal'
  | 'inside-publish'
  | 'after-publish'
  | 'inside-rebuild'
  | 'after-compare'
  | 'inside-flip'
  | 'after-flip'
  | 'after-redrive'
  | 'inside-relay';

/** A Meterfold process that may die at a named point. */
export class Victim {
  readonly #child: ChildProcess;
  readonly #gone: Promise<unknown>;
  readonly url: string;

  constructor(child: ChildProcess, gone: Promise<unknown>, url: string) {
    this.#child = child;
    this.#gone = gone;
    this.url = url;
  }

  static async start(dataDir: string, point: Point = 'none', count = 1, settings: object = {}): Promise<Victim> {
    const argv = [PROGRAM, dataDir, point, String(count), JSON.stringify(settings)];
    const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
    const gone = once(child, 'exit');
    let [out, err] = ['', ''];
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    const ready = (async () => {
      for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
        out += chunk.toString();
        const url = /ready on (\S+)/.exec(out)?.[1];
        if (url !== undefined) return url;
      }
      return undefined;
    })();
    const url = await Promise.race([ready, gone.then(() => undefined)]);
    if (url === undefined && point === 'none') throw new Error(`Meterfold did not start: ${err}`);
    return new Victim(child, gone, url ?? 'http://127.0.0.1:1');
  }

  get isDead(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    if (!this.isDead) this.#child.kill(signal);
    await this.#gone;
  }

  async died(): Promise<void> {
    await this.#gone;
  }

  async get<T>(path: string, method = 'GET'): Promise<T> {
    const response = await fetch(`${this.url}${path}`, { method });
    if (!response.ok) throw new Error(`${path}: ${String(response.status)} ${await response.text()}`);
    return (await response.json()) as T;
  }

  /** Whether the events were acknowledged; false when the process died meanwhile. */
  async send(events: readonly object[]): Promise<boolean> {
    try {
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(`${this.url}/v1/events`, { method: 'POST', headers, body: JSON.stringify(events) });
      return response.status === 200;
    } catch (error) {
      if (error instanceof TypeError) return false;
      throw error;
    }
  }
}
