import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { untilWithin } from '../support/poll.ts';
import { TcpProxy } from './proxy.ts';

const until = untilWithin(10_000);

/** Answers every chunk with its name and the chunk. */
async function echo(name: string): Promise<{ readonly server: Server; readonly port: number; readonly sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => socket.write(`${name}:${chunk.toString()} `));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: (server.address() as { port: number }).port, sockets };
}

let here: Awaited<ReturnType<typeof echo>>;
let there: Awaited<ReturnType<typeof echo>>;
let proxy: TcpProxy;

beforeEach(async () => {
  [here, there] = [await echo('here'), await echo('there')];
  proxy = await TcpProxy.start(here.port);
});
afterEach(async () => {
  await proxy.close();
  for (const { server, sockets } of [here, there]) {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});

function client(): { readonly socket: Socket; readonly said: () => string; readonly failed: () => boolean } {
  const socket = connect(proxy.port, '127.0.0.1');
  let [said, failed] = ['', false];
  socket.on('data', (chunk: Buffer) => (said += chunk.toString()));
  socket.on('error', () => (failed = true));
  return { socket, said: () => said, failed: () => failed };
}
const says = (one: ReturnType<typeof client>, text: string) => until(text, async () => one.said() === text);

test('what is sent passes, both ways', async () => {
  const one = client();
  one.socket.write('a');
  await says(one, 'here:a ');
  expect(proxy.did).toMatchObject({ taken: 1, held: 0, cut: 0 });
});

test('what is held arrives once the way is open, in order', async () => {
  const one = client();
  await once(one.socket, 'connect');
  proxy.weather = { way: 'held' };
  one.socket.write('a');
  await until('it is held', async () => proxy.did.held === 1);
  one.socket.write('b');
  expect(one.said()).toBe('');
  proxy.weather = {};
  await until('both', async () => /^here:a ?(here:)?b $/.test(one.said()));
});

test('a reset ends what is open, and what is opened', async () => {
  const one = client();
  one.socket.write('a');
  await says(one, 'here:a ');
  proxy.weather = { way: 'reset' };
  await until('it is told', async () => one.failed() || one.socket.destroyed);
  const other = client();
  await until('so is the next', async () => other.socket.destroyed);
  proxy.weather = {};
  const third = client();
  third.socket.write('c');
  await says(third, 'here:c ');
  expect(proxy.did.cut).toBe(2);
});

test('a half-open connection is told nothing, while a new one works', async () => {
  const one = client();
  one.socket.write('a');
  await says(one, 'here:a ');
  proxy.forget();
  await until('the far end is gone', async () => here.sockets[0]?.destroyed === true);
  one.socket.write('b');
  const other = client();
  other.socket.write('c');
  await says(other, 'here:c ');
  expect([one.said(), one.socket.destroyed, proxy.did.forgotten]).toEqual(['here:a ', false, 1]);
});

test('after the address has moved another server answers', async () => {
  const one = client();
  one.socket.write('a');
  await says(one, 'here:a ');
  proxy.retarget(there.port);
  await until('what was open is cut', async () => one.socket.destroyed);
  const other = client();
  other.socket.write('b');
  await says(other, 'there:b ');
});

test('latency delays, bandwidth by the length', async () => {
  const one = client();
  one.socket.write('a');
  await says(one, 'here:a ');
  proxy.weather = { latencyMs: 100 };
  const began = performance.now();
  one.socket.write('b');
  await says(one, 'here:a here:b ');
  expect(performance.now() - began).toBeGreaterThanOrEqual(195);
  expect(proxy.did.slowed).toBe(2);
});
