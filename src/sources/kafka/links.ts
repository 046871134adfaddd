/** Connections to the nodes of a cluster, each for one use: a broker answers one request of a connection at a time. */
import type { ConnectionOptions } from 'node:tls';
import type { SASLOptions } from 'kafkajs';
import { asError, MeterError } from '../../errors.ts';
import type { Node } from './api-metadata.ts';
import { type Broker, encoderOf, makeBroker } from './kafkajs.ts';

export interface LinkOptions {
  readonly clientId: string;
  readonly tls?: ConnectionOptions;
  readonly sasl?: SASLOptions;
  readonly connectMs: number;
  /** For an answer, over and above what the broker is asked to wait. */
  readonly answerMs: number;
}

export interface Ask<T> {
  readonly api: { readonly key: number; readonly version: number; readonly name: string };
  readonly body: Buffer;
  readonly decode: (payload: Buffer) => T;
  /** What the broker may take by the request itself. */
  readonly waitMs?: number;
}

interface Open {
  readonly broker: Broker;
  readonly address: string;
}

const addressOf = ({ host, port }: Node): string => `${host}:${port}`;

export class Links {
  readonly #options: LinkOptions;
  readonly #open = new Map<string, Promise<Open>>();
  #closed = false;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /**
   * What `use` answers, with the connection to this node for this use; made where there is none. Any failure ends the
   * connection: kafkajs would go on with half an answer in its buffer. Throws what kafkajs throws.
   */
  async with<T>(node: Node, purpose: string, use: (broker: Broker) => Promise<T>): Promise<T> {
    const name = `${purpose} ${addressOf(node)}`;
    const opened = this.#open.get(name) ?? this.#connect(node);
    this.#open.set(name, opened);
    try {
      return await use((await opened).broker);
    } catch (error) {
      if (this.#open.get(name) === opened) this.#open.delete(name);
      await end(opened, asError(error));
      throw error;
    }
  }

  ask<T>(node: Node, purpose: string, { api, body, decode, waitMs = 0 }: Ask<T>): Promise<T> {
    return this.with(node, purpose, async (broker) => {
      demandVersion(broker, api, addressOf(node));
      const connection = await broker.connectionPool.getConnection(0);
      return connection.send<T>({
        request: {
          apiKey: api.key,
          apiVersion: api.version,
          apiName: api.name,
          encode: () => Promise.resolve(encoderOf(body)),
        },
        response: { decode: (payload) => Promise.resolve(decode(payload)), parse: (decoded) => Promise.resolve(decoded) },
        requestTimeout: this.#options.answerMs + waitMs,
        logResponseError: false,
      });
    });
  }

  /** Ends the connections of one use. */
  async drop(purpose: string): Promise<void> {
    const ended = [...this.#open].filter(([name]) => name.startsWith(`${purpose} `));
    for (const [name] of ended) this.#open.delete(name);
    await Promise.all(ended.map(([, opened]) => end(opened, new MeterError('LOG_UNAVAILABLE', `${purpose}: closed`))));
  }

  /** Fails what is under way. Nothing may be asked any more. */
  async close(): Promise<void> {
    this.#closed = true;
    const all = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(all.map((opened) => end(opened, new MeterError('LOG_UNAVAILABLE', 'ask Kafka: the log is closed'))));
  }

  async #connect(node: Node): Promise<Open> {
    if (this.#closed) throw new MeterError('LOG_UNAVAILABLE', 'ask Kafka: the log is closed');
    const { clientId, tls, sasl, connectMs, answerMs } = this.#options;
    const secured = { ...(tls === undefined ? {} : { ssl: tls }), ...(sasl === undefined ? {} : { sasl: { ...sasl } }) };
    const timeouts = { connectionTimeout: connectMs, requestTimeout: answerMs };
    const broker = makeBroker({ ...node, clientId, ...secured, ...timeouts });
    try {
      await broker.connect();
    } catch (error) {
      await end(Promise.resolve({ broker, address: addressOf(node) }), asError(error));
      throw error;
    }
    return { broker, address: addressOf(node) };
  }
}

async function end(opened: Promise<Open>, because: Error): Promise<void> {
  const { broker } = await opened.catch(() => ({ broker: undefined }));
  if (broker === undefined) return;
  broker.connectionPool.map((connection) => connection.rejectRequests(because));
  // It is gone for this process either way.
  await broker.disconnect().catch(() => undefined);
}

function demandVersion({ versions }: Broker, api: Ask<unknown>['api'], address: string): void {
  const most = versions[api.key]?.maxVersion ?? -1;
  if (most >= api.version) return;
  throw new MeterError(
    'LOG_MISCONFIGURED',
    `ask ${address}: it knows ${api.name} up to version ${most}, not ${api.version}`,
    {
      allowed: 'Apache Kafka 3.1 or later',
    },
  );
}
