/** Stands between a client and a PostgreSQL server, and fails as networks do. */
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Connection } from './postgres-server.ts';

export interface FlakyProxy {
  /** The server, through the proxy. */
  readonly connection: Connection;
  /** Cuts every connection and takes no new one. */
  cut(): void;
  restore(): void;
  /** Lets requests through and no answer back, on the connections that are open now; then cuts them. */
  loseReplies(): () => void;
  close(): Promise<void>;
}

const upstreamOf = ({ host, port }: Connection): Socket =>
  host.startsWith('/') ? connect(join(host, `.s.PGSQL.${port}`)) : connect(port, host);

export async function flakyProxy(to: Connection): Promise<FlakyProxy> {
  const pairs = new Map<Socket, Socket>();
  let isCut = false;
  const server = createServer((client) => {
    if (isCut) return void client.destroy();
    const upstream = upstreamOf(to);
    pairs.set(client, upstream);
    client.pipe(upstream);
    upstream.pipe(client);
    const end = (): void => {
      client.destroy();
      upstream.destroy();
      pairs.delete(client);
    };
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const destroyAll = (): void => {
    for (const client of pairs.keys()) client.destroy();
  };
  return {
    connection: { ...to, host: '127.0.0.1', port: address.port },
    cut: () => {
      isCut = true;
      destroyAll();
    },
    restore: () => (isCut = false),
    loseReplies: () => {
      for (const [client, upstream] of pairs) upstream.unpipe(client).resume();
      return destroyAll;
    },
    close: async () => {
      destroyAll();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
