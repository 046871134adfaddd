/** Real Kafka brokers of one's own: direct children, each broker and controller, in a temporary directory, on free ports. */
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FlakyProxy, flakyProxy } from './flaky-proxy.ts';
import { KafkaNode, type Properties, propertiesOf } from './kafka-node.ts';
import { type Secured, securedBy } from './kafka-secured.ts';
import { freePort } from './free-port.ts';
import { kafka } from './services/kafka.ts';
import { ownProgram } from './services/ways.ts';

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

/** The listeners of a broker of these suites, and the elections, which are quick. */
function settingsOf(node: number, all: readonly Ports[], proxyPort: number, secured: Secured | undefined): Properties {
  const { client, controller, proxied, secure, more } = all[node - 1]!;
  const behind = node === 1 ? [`,PROXIED://127.0.0.1:${proxied}`, `,PROXIED://127.0.0.1:${proxyPort}`] : ['', ''];
  const [listened, told] = (['port', 'told'] as const).map((which) =>
    more.map((one) => `,${one.name}://127.0.0.1:${one[which]}`).join(''),
  );
  const protocols = more.map(({ name }) => `,${name}:PLAINTEXT`).join('');
  const locked = node === 1 && secured !== undefined ? `,SECURE://127.0.0.1:${secure}` : '';
  return {
    ...(locked === '' ? {} : secured?.properties),
    'node.id': node,
    'controller.quorum.voters': all.map((ports, n) => `${n + 1}@127.0.0.1:${ports.controller}`).join(','),
    listeners: `PLAINTEXT://127.0.0.1:${client},CONTROLLER://127.0.0.1:${controller}${behind[0]}${locked}${listened}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${client}${behind[1]}${locked}${told}`,
    'listener.security.protocol.map': `PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT,SECURE:SASL_SSL${protocols}`,
    'log.retention.check.interval.ms': 500,
    'log.initial.task.delay.ms': 500,
    'broker.session.timeout.ms': 3000,
    'broker.heartbeat.interval.ms': 500,
  };
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
  const jars = ownProgram(kafka).path;
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
  const all = ports.map((_, n) => new KafkaNode(join(dir, `n${n + 1}`), jars, nodes > 1 ? '320m' : '384m'));
  const secured = secure ? securedBy(dir) : undefined;
  all.forEach((node, n) => {
    const settings = settingsOf(n + 1, ports, proxy.connection.port, secured);
    node.configure(propertiesOf(join(dir, `n${n + 1}`), nodes, settings));
    node.format(secured?.format);
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
