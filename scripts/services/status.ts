/** What runs: server, pid, address, and whether it answers. */
import { said } from '../../test/support/services/machine.ts';
import { isRunning } from './process.ts';
import type { Server } from './server.ts';
import { dirOf, type Name, NAMES, readState, type Running, SERVERS } from './state.ts';

export interface Standing {
  readonly name: Name;
  readonly server: string;
  readonly way: string;
  readonly process: string;
  readonly address: string;
  readonly answers: boolean;
}

function processOf(name: Name, { pid, container }: Running): string {
  if (container !== undefined) {
    const state = said('docker', ['inspect', '--format', '{{.State.Status}}', container]) ?? 'gone';
    return `${container.slice(0, 12)} (${state})`;
  }
  if (pid === undefined) return '-';
  return isRunning(pid, dirOf(name)) ? String(pid) : `${pid} (ended)`;
}

async function standingOf(name: Name, running: Running | undefined): Promise<Standing> {
  const server: Server = SERVERS[name];
  if (running === undefined)
    return { name, server: server.service.name, way: '-', process: '-', address: '-', answers: false };
  const { version, way, address } = running;
  const answers = await server.answers(address);
  return { name, server: version, way, process: processOf(name, running), address, answers };
}

export async function standings(): Promise<Standing[]> {
  const state = await readState();
  return Promise.all(NAMES.map((name) => standingOf(name, state[name])));
}

export function tableOf(rows: readonly Standing[]): string {
  const head = ['server', 'by', 'process', 'address', 'answers'];
  const cells = rows.map(({ server, way, process, address, answers }) => [
    ...[server, way, process, address, answers ? 'yes' : 'no'],
  ]);
  const widthOf = (column: number): number => Math.max(...[head, ...cells].map((row) => row[column]?.length ?? 0));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, n) => cell.padEnd(widthOf(n)))
      .join('  ')
      .trimEnd();
  return [head, head.map((_, n) => '-'.repeat(widthOf(n))), ...cells].map(line).join('\n');
}
