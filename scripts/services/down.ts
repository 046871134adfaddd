/** Stops what `up` started, by the pids that it wrote down. Data stays, unless it is to be wiped. */
import { rm } from 'node:fs/promises';
import { said } from '../../test/support/services/machine.ts';
import { stopProcess } from './process.ts';
import { dirOf, folder, type Name, NAMES, readState, type Running, saveState, SERVERS } from './state.ts';

function stopContainer(container: string, wipe: boolean): void {
  // Removed by somebody else.
  if (said('docker', ['inspect', '--format', '{{.Id}}', container]) === undefined) return;
  const args = wipe ? ['rm', '--force', '--volumes', container] : ['stop', container];
  if (said('docker', args) === undefined) throw new Error(`docker ${args.join(' ')} failed`);
}

async function stop(name: Name, running: Running, wipe: boolean): Promise<string> {
  const { way, pid, container, version } = running;
  if (container !== undefined) stopContainer(container, wipe);
  else if (pid === undefined) return `${version}: ${way === 'given' ? 'given, and left alone' : 'was stopped'}`;
  else if (await stopProcess(pid, dirOf(name), SERVERS[name].stop)) return `${version}: killed, it did not stop by itself`;
  return `${version}: stopped`;
}

export async function down(wipe: boolean, say: (line: string) => void): Promise<void> {
  const state = await readState();
  await Promise.all(
    NAMES.map(async (name) => {
      const running = state[name];
      if (running === undefined) return;
      say(await stop(name, running, wipe));
      state[name] = { ...running, pid: undefined };
    }),
  );
  if (wipe) await rm(folder, { recursive: true, force: true });
  else await saveState(state);
}
