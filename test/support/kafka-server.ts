/** Real Kafka brokers of one's own: direct children, each broker and controller, in a temporary directory, on free ports. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/clock.ts';
import { type FlakyProxy, flakyProxy } from './flaky-proxy.ts';
import { kafkaJars } from './kafka-jars.ts';
import { type Secured, securedBy } from './kafka-secured.ts';
import { freePort } from './free-port.ts';

export interface KafkaServers {
  /** `host:port` of each broker. */
  readonly brokers: readonly string[];
  /** The first broker through a proxy, and what it calls itself there is the proxy's address, too. */
  readonly flaky: { readonly broker: string; readonly proxy: FlakyProxy };
  /** The first broker over TLS, to clients that log in; where it was asked for. */
  readonly secure: { readonly broker: string; readonly ca: string } | undefined;
  /** By number, from 1, as leaders are named. Resolves once the process is gone. */
  kill(node: number, signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same data and ports. */
  start(node: number): Promise<void>;
  stop(): Promise<void>;
}

/** Listeners of one's own, for clients behind proxies of one's own. */
export interface MoreListeners {
  readonly names: readonly string[];
  /** The port that clients of this listener are told, for a broker (from 1) whose listener is on `port`. */
  readonly told: (name: string, node: number, port: number) => Promise<number>;
}

interface Listener {
  readonly name: string;
  readonly port: number;
  readonly told: number;
}

interface Ports {
  readonly more: readonly Listener[];
  readonly client: number;
  readonly controller: number;
  /** The listener behind the proxy. */
  readonly proxied: number;
  readonly secure: number;
}

/** Topics are as P4 demands by default, so that a test says what it does otherwise. Elections are quick. */
function properties(
  node: number,
  all: readonly Ports[],
  dir: string,
  proxyPort: number,
  secured: Secured | undefined,
): string {
  const { client, controller, proxied, secure, more } = all[node - 1]!;
  const replication = all.length >= 3 ? 3 : 1;
  const behind = node === 1 ? [`,PROXIED://127.0.0.1:${proxied}`, `,PROXIED://127.0.0.1:${proxyPort}`] : ['', ''];
  const [listened, told] = (['port', 'told'] as const).map((which) =>
    more.map((one) => `,${one.name}://127.0.0.1:${one[which]}`).join(''),
  );
  const protocols = more.map(({ name }) => `,${name}:PLAINTEXT`).join('');
  const locked = node === 1 && secured !== undefined ? `,SECURE://127.0.0.1:${secure}` : '';
  return Object.entries({
    ...(locked === '' ? {} : secured?.properties),
    'process.roles': 'broker,controller',
    'node.id': node,
    'controller.quorum.voters': all.map((ports, n) => `${n + 1}@127.0.0.1:${ports.controller}`).join(','),
    listeners: `PLAINTEXT://127.0.0.1:${client},CONTROLLER://127.0.0.1:${controller}${behind[0]}${locked}${listened}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${client}${behind[1]}${locked}${told}`,
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'listener.security.protocol.map': `PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT,SECURE:SASL_SSL${protocols}`,
    'log.dirs': join(dir, 'data'),
    'auto.create.topics.enable': false,
    'default.replication.factor': replication,
    'min.insync.replicas': replication > 1 ? 2 : 1,
    'log.message.timestamp.type': 'LogAppendTime',
    'log.retention.check.interval.ms': 500,
    'log.initial.task.delay.ms': 500,
    'offsets.topic.num.partitions': 4,
    'offsets.topic.replication.factor': replication,
    'transaction.state.log.num.partitions': 4,
    'transaction.state.log.replication.factor': replication,
    'transaction.state.log.min.isr': replication > 1 ? 2 : 1,
    'share.coordinator.state.topic.replication.factor': replication,
    'group.initial.rebalance.delay.ms': 0,
    'broker.session.timeout.ms': 3000,
    'broker.heartbeat.interval.ms': 500,
    'num.network.threads': 2,
    'num.io.threads': 4,
  })
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

const LOGGING = fileURLToPath(new URL('kafka/log4j2.properties', import.meta.url));
const logging = (path: string): string[] => [`-Dlog4j2.configurationFile=${LOGGING}`, `-Dbroker.log=${path}`];
const DEADLINE_MS = 150_000;
/** Any 16 bytes: brokers of one cluster have the same. */
const CLUSTER = 'MkU3OEVBNTcwNTJENDM2Qg';

class Node {
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

  format(text: string, more: readonly string[]): void {
    mkdirSync(this.#dir, { recursive: true });
    writeFileSync(this.#config, text);
    const light = ['-Xmx128m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', ...logging(join(this.#dir, 'format.log'))];
    const args = ['kafka.tools.StorageTool', 'format', '-t', CLUSTER, '-c', this.#config, ...more];
    execFileSync('java', [...light, '-cp', this.#classes, ...args], { stdio: 'pipe' });
  }

  async start(): Promise<void> {
    const log = join(this.#dir, 'server.log');
    await rm(log, { force: true });
    const jvm = [`-Xms${this.#heap}`, `-Xmx${this.#heap}`, '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', ...logging(log)];
    const child = spawn('java', [...jvm, '-cp', this.#classes, 'kafka.Kafka', this.#config], { stdio: 'ignore' });
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

export interface KafkaOptions {
  readonly nodes?: 1 | 3;
  /** With a listener for clients that log in over TLS (see kafka-secured.ts). */
  readonly secure?: boolean;
  readonly more?: MoreListeners;
}

async function listenersOf(node: number, more: MoreListeners | undefined): Promise<Listener[]> {
  const listeners: Listener[] = [];
  for (const name of more?.names ?? []) {
    const port = await freePort();
    listeners.push({ name, port, told: await more!.told(name, node, port) });
  }
  return listeners;
}

/** One broker, or three that replicate to each other. */
export async function startKafka({ nodes = 1, secure = false, more }: KafkaOptions = {}): Promise<KafkaServers> {
  const jars = kafkaJars();
  if (jars === undefined) throw new Error('start Kafka: no jars, or no Java, on this machine');
  const dir = mkdtempSync(join(tmpdir(), 'meterfold-kafka-'));
  const ports: Ports[] = [];
  for (let n = 0; n < nodes; n += 1)
    ports.push({
      more: await listenersOf(n + 1, more),
      client: await freePort(),
      controller: await freePort(),
      proxied: await freePort(),
      secure: await freePort(),
    });
  const behind = { host: '127.0.0.1', port: ports[0]!.proxied, user: '', database: '' };
  const proxy = await flakyProxy(behind);
  const all = ports.map((_, n) => new Node(join(dir, `n${n + 1}`), jars, nodes > 1 ? '320m' : '384m'));
  const secured = secure ? securedBy(dir) : undefined;
  all.forEach((node, n) => {
    const text = properties(n + 1, ports, join(dir, `n${n + 1}`), proxy.connection.port, secured);
    node.format(text, secured?.format ?? []);
  });
  await Promise.all(all.map((node) => node.start()));
  return {
    brokers: ports.map(({ client }) => `127.0.0.1:${client}`),
    flaky: { broker: `127.0.0.1:${proxy.connection.port}`, proxy },
    secure: secured && { broker: `127.0.0.1:${ports[0]!.secure}`, ca: secured.ca },
    kill: (node, signal = 'SIGKILL') => all[node - 1]!.kill(signal),
    start: (node) => all[node - 1]!.start(),
    stop: async () => {
      await proxy.close();
      await Promise.all(all.map((node) => node.kill('SIGKILL')));
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
