/** One Kafka process: its settings, its storage, its command line. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/clock.ts';

export type Properties = Readonly<Record<string, string | number | boolean>>;

/** Topics are as P4 demands by default, so that who wants another one says so. `brokers`: how many there are, 1 or 3. */
export function propertiesOf(dir: string, brokers: number, more: Properties): string {
  const [replication, inSync] = brokers >= 3 ? [3, 2] : [1, 1];
  const all: Properties = {
    'process.roles': 'broker,controller',
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': join(dir, 'data'),
    'auto.create.topics.enable': false,
    'default.replication.factor': replication,
    'min.insync.replicas': inSync,
    'log.message.timestamp.type': 'LogAppendTime',
    'offsets.topic.num.partitions': 4,
    'offsets.topic.replication.factor': replication,
    'transaction.state.log.num.partitions': 4,
    'transaction.state.log.replication.factor': replication,
    'transaction.state.log.min.isr': inSync,
    'share.coordinator.state.topic.replication.factor': replication,
    'group.initial.rebalance.delay.ms': 0,
    'num.network.threads': 2,
    'num.io.threads': 4,
    ...more,
  };
  return Object.entries(all)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

const LOGGING = fileURLToPath(new URL('services/kafka-files/log4j2.properties', import.meta.url));
const logging = (path: string): string[] => [`-Dlog4j2.configurationFile=${LOGGING}`, `-Dbroker.log=${path}`];
const DEADLINE_MS = 150_000;
/** Any 16 bytes: brokers of one cluster have the same. */
const CLUSTER = 'MkU3OEVBNTcwNTJENDM2Qg';

/** A broker that is a controller, too: a direct child, on data that stays until its folder goes. */
export class KafkaNode {
  readonly #dir: string;
  readonly #classes: string;
  readonly #heap: string;
  #child: ChildProcess | undefined;

  constructor(dir: string, jars: string, heap: string) {
    this.#dir = dir;
    this.#classes = join(jars, '*');
    this.#heap = heap;
  }

  get #config(): string {
    return join(this.#dir, 'server.properties');
  }

  /** Writes its settings. */
  configure(text: string): void {
    mkdirSync(this.#dir, { recursive: true });
    writeFileSync(this.#config, text);
  }

  /** Prepares its storage, once. */
  format(more: readonly string[] = []): void {
    const light = ['-Xmx128m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', ...logging(join(this.#dir, 'format.log'))];
    const args = ['kafka.tools.StorageTool', 'format', '-t', CLUSTER, '-c', this.#config, ...more];
    execFileSync('java', [...light, '-cp', this.#classes, ...args], { stdio: 'pipe' });
  }

  get #log(): string {
    return join(this.#dir, 'server.log');
  }

  /** What runs it. */
  command(): [string, string[]] {
    const heap = [`-Xms${this.#heap}`, `-Xmx${this.#heap}`, '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
    return ['java', [...heap, ...logging(this.#log), '-cp', this.#classes, 'kafka.Kafka', this.#config]];
  }

  async start(): Promise<void> {
    const log = this.#log;
    await rm(log, { force: true });
    const child = spawn(...this.command(), { stdio: 'ignore' });
    this.#child = child;
    const said = (): string => (existsSync(log) ? readFileSync(log, 'utf8') : '');
    for (const until = performance.now() + DEADLINE_MS; performance.now() < until && child.exitCode === null;) {
      if (said().includes('Kafka Server started')) return;
      await systemClock.sleep(50);
    }
    throw new Error(`the broker in ${this.#dir} did not start:\n${said().slice(-4000)}`);
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }
}
