/** Stands between one role and one server, and does to their connections what networks do. */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Weather {
  /** Each way, ms. */
  readonly latencyMs?: number;
  /** Of all connections together, each way. */
  readonly bytesPerSecond?: number;
  /** `held`: nothing passes, nothing is said, and what was sent arrives later. `reset`: what is open or opened is reset. */
  readonly way?: 'open' | 'held' | 'reset';
}

/** While nothing passes, between two looks whether something may, ms. */
const LOOK_MS = 20;

export class TcpProxy {
  readonly port: number;
  #weather: Weather = {};
  #upstream: number;
  readonly #server: Server;
  /** Those that are forgotten, too. */
  readonly #clients = new Set<Socket>();
  readonly #pairs = new Map<Socket, Socket>();
  /** What the proxy did: connections taken, chunks it held, connections it cut. */
  readonly did = { taken: 0, held: 0, slowed: 0, cut: 0, forgotten: 0 };

  private constructor(server: Server, upstream: number) {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    this.port = address.port;
    this.#server = server.on('connection', (client: Socket) => this.#take(client));
    this.#upstream = upstream;
  }

  static async start(upstream: number): Promise<TcpProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new TcpProxy(server, upstream);
  }

  /** From now on, for connections that are open, too. */
  set weather(weather: Weather) {
    this.#weather = weather;
    if (weather.way === 'reset') this.cut();
  }

  /** Another server from now on, as an address that moves: what is open is cut. */
  retarget(port: number): void {
    this.#upstream = port;
    this.cut();
  }

  cut(): void {
    this.did.cut += this.#pairs.size;
    for (const [client, upstream] of this.#pairs) {
      client.resetAndDestroy();
      upstream.resetAndDestroy();
    }
  }

  /** The far end of what is open now is gone, and nobody tells the near one: half-open connections. New ones work. */
  forget(): void {
    for (const [client, upstream] of this.#pairs) {
      this.did.forgotten += 1;
      this.#pairs.delete(client);
      upstream.removeAllListeners('close').resetAndDestroy();
      client.removeAllListeners('data').resume();
    }
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #take(client: Socket): void {
    this.did.taken += 1;
    this.#clients.add(client);
    client.on('error', () => client.destroy()).on('close', () => this.#clients.delete(client));
    if (this.#weather.way === 'reset') {
      this.did.cut += 1;
      client.resetAndDestroy();
      return;
    }
    const upstream = connect(this.#upstream, '127.0.0.1');
    this.#pairs.set(client, upstream);
    this.#pump(client, upstream);
    this.#pump(upstream, client);
    const end = (): void => {
      this.#pairs.delete(client);
      client.destroy();
      upstream.destroy();
    };
    upstream.on('error', end).on('close', end);
    client.on('close', end);
  }

  /** One chunk after the other; the next is asked for once this one is on its way. */
  #pump(from: Socket, to: Socket): void {
    from.on('data', (chunk: Buffer) => {
      if (Object.keys(this.#weather).length === 0) {
        if (!to.write(chunk)) {
          from.pause();
          to.once('drain', () => from.resume());
        }
        return;
      }
      from.pause();
      this.#pass(chunk, to).then(
        () => from.resume(),
        () => from.destroy(),
      );
    });
  }

  async #pass(chunk: Buffer, to: Socket): Promise<void> {
    const { latencyMs = 0, bytesPerSecond } = this.#weather;
    const ms = latencyMs + (bytesPerSecond === undefined ? 0 : (chunk.length * 1000) / bytesPerSecond);
    if (ms > 0) {
      this.did.slowed += 1;
      await sleep(ms);
    }
    if (this.#weather.way === 'held') this.did.held += 1;
    while (this.#weather.way === 'held' && !to.destroyed) await sleep(LOOK_MS);
    if (!to.destroyed) to.write(chunk);
  }
}
