/** Starts what does not run, and leaves what does. */
import { mkdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { systemClock } from '../../src/clock.ts';
import { freePort } from '../../test/support/free-port.ts';
import { said } from '../../test/support/services/machine.ts';
import { find, type Found } from '../../test/support/services/ways.ts';
import { isRunning, startDetached } from './process.ts';
import type { Ports, Server } from './server.ts';
import { dirOf, folder, type Name, NAMES, readState, type Running, saveState, SERVERS, writeEnvironment } from './state.ts';

const READY_MS = 120_000;

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });

/** Those of the last time where they are free. */
async function portsOf(before: Running | undefined): Promise<Ports> {
  const free = await Promise.all((before?.ports ?? []).map(isFree));
  if (before?.ports !== undefined && free.every(Boolean)) return before.ports;
  return [await freePort(), await freePort()];
}

async function lastWords(name: Name): Promise<string> {
  const texts = await Promise.all(
    ['output.log', 'server.log'].map((log) => readFile(join(dirOf(name), log), 'utf8').catch(() => '')),
  );
  return texts.map((text) => text.slice(-2000)).join('');
}

async function demandAnswer(name: Name, server: Server, running: Running): Promise<void> {
  for (const until = performance.now() + READY_MS; performance.now() < until;) {
    if (await server.answers(running.address)) return;
    if (running.pid !== undefined && !isRunning(running.pid, dirOf(name))) break;
    await systemClock.sleep(50);
  }
  const what = `${running.version} at ${running.address} does not answer`;
  throw new Error(`${what}${running.way === 'given' ? '' : `:\n${await lastWords(name)}`}`);
}

/** A container keeps its data and its port: it is started again as it was, and one that runs is left alone by that. */
function resumed(name: Name, before: Running | undefined): Running | undefined {
  if (isRunning(before?.pid, dirOf(name))) return before;
  if (before?.container === undefined) return undefined;
  return said('docker', ['start', before.container]) === undefined ? undefined : before;
}

async function start(name: Name, server: Server, found: Found, before: Running | undefined): Promise<Running> {
  const { way, server: version } = found;
  if (found.way === 'given') return { way, version, address: found.url };
  const ports = await portsOf(before);
  if (found.way === 'Docker') {
    const { host, port, id } = await server.contain(found.image, ports[0]);
    return { way, version, address: server.address(host, port), container: id, ports };
  }
  const dir = dirOf(name);
  const command = await server.command(found.program.path, dir, ports);
  await mkdir(dir, { recursive: true });
  const pid = await startDetached(command, join(dir, 'output.log'));
  return { way, version, address: server.address('127.0.0.1', ports[0]), pid, ports };
}

/** All servers, at the same time. What has started before another one failed is kept, and stopped by `down`. */
export async function up(say: (line: string) => void): Promise<void> {
  const state = await readState();
  const one = async (name: Name): Promise<void> => {
    const server: Server = SERVERS[name];
    const before = resumed(name, state[name]);
    const found = before ?? find(server.service);
    if (found === undefined) throw new Error(`no ${server.service.name}: ${server.service.wayOut}`);
    const running = before ?? (await start(name, server, found as Found, state[name]));
    state[name] = running;
    await saveState(state);
    await demandAnswer(name, server, running);
    await server.furnish(running.address);
    say(`${running.version} at ${running.address}${before === undefined ? '' : ' (as before)'}`);
  };
  const outcomes = await Promise.allSettled(NAMES.map(one));
  const faults = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as Error] : []));
  if (faults.length > 0) throw new AggregateError(faults, faults.map(({ message }) => message).join('\n'));
  await writeEnvironment(state);
  say(`. ${join(folder, 'env')}`);
}
