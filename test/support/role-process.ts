/** One role of an installation, started as a user does: a process with its settings in the environment. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Connection } from './postgres-server.ts';
import type { S3Server } from './s3-server.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const DEADLINE_MS = 60_000;

export type Environment = Readonly<Record<string, string>>;

export const databaseUrl = ({ host, port, user, database }: Connection): string =>
  `postgres://${user}@${encodeURIComponent(host)}:${String(port)}/${database}`;

interface Servers {
  readonly database: Connection;
  readonly redis: { readonly url: string };
  readonly s3: S3Server;
  /** Of that S3. */
  readonly bucket: string;
}

/** What every role is told of servers that run already, but for the log. */
export const environmentOf = ({ database, redis, s3: { access }, bucket }: Servers): Environment => ({
  AWS_ACCESS_KEY_ID: access.credentials.accessKeyId,
  AWS_SECRET_ACCESS_KEY: access.credentials.secretAccessKey,
  METERFOLD_DATABASE_URL: databaseUrl(database),
  METERFOLD_REDIS_URLS: redis.url,
  METERFOLD_S3_BUCKET: bucket,
  METERFOLD_S3_ENDPOINT: access.endpoint,
  METERFOLD_S3_REGION: access.region,
  METERFOLD_S3_PATH_STYLE: 'true',
});

export class RoleProcess {
  readonly role: string;
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #gone: Promise<unknown>;
  readonly #said: () => string;

  private constructor(role: string, url: string, child: ChildProcess, gone: Promise<unknown>, said: () => string) {
    this.role = role;
    this.url = url;
    this.#child = child;
    this.#gone = gone;
    this.#said = said;
  }

  /** Once it says that it is ready. What it says on stderr is in the error where it ends before. */
  static async start(role: string, environment: Environment, program: readonly string[] = [PROGRAM]): Promise<RoleProcess> {
    const env = { PATH: process.env.PATH, METERFOLD_PORT: '0', METERFOLD_LOG_LEVEL: 'warn', ...environment };
    const child = spawn(process.execPath, [...program, role], { stdio: ['ignore', 'pipe', 'pipe'], env });
    const gone = once(child, 'exit');
    let [out, err] = ['', ''];
    child.stderr.on('data', (chunk: Buffer) => (err = (err + chunk.toString()).slice(-4000)));
    const url = await new Promise<string>((resolve, reject) => {
      const late = setTimeout(() => {
        child.kill('SIGKILL');
        reject(new Error(`${role} was not ready within ${String(DEADLINE_MS)} ms: ${err}`));
      }, DEADLINE_MS);
      const fail = (): void => {
        clearTimeout(late);
        reject(new Error(`${role} did not start: ${err}`));
      };
      child.once('exit', fail);
      child.stdout.on('data', (chunk: Buffer) => {
        out += chunk.toString();
        const found = / ready on (\S+)/.exec(out)?.[1];
        if (found === undefined) return;
        clearTimeout(late);
        child.off('exit', fail);
        resolve(found);
      });
    });
    return new RoleProcess(role, url, child, gone, () => out + err);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }
  get isDead(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }
  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  /** Once it is gone: how often this is seen is the caller's. */
  get gone(): Promise<unknown> {
    return this.#gone;
  }
  /** What it wrote, on both streams; of the errors the last of them. */
  get said(): string {
    return this.#said();
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Resolves once it is gone. */
  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    if (!this.isDead) this.#child.kill(signal);
    await this.#gone;
  }

  async ask<T>(path: string, init?: RequestInit): Promise<T> {
    const response = await fetch(`${this.url}${path}`, init);
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${String(response.status)} ${text}`);
    return JSON.parse(text) as T;
  }
}
