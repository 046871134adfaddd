/** A Docker engine of one's own, which publishes ports on 127.0.0.1 alone and leaves the machine's firewall as it is. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { untilWithin } from './poll.ts';
import { aptInstall, programAt, said } from './services/machine.ts';
import { ownProgram, type Service } from './services/ways.ts';

/** It takes an administrator to run one; one that runs already is not taken, so that what a test leaves is its own. */
export const docker: Service = {
  name: 'Docker engine',
  program: () => {
    const path = process.getuid?.() === 0 ? programAt('dockerd', ['/usr/sbin']) : undefined;
    if (path === undefined || programAt('docker') === undefined) return undefined;
    return { path, version: /version ([^,]+)/.exec(said(path, ['--version']) ?? '')?.[1] ?? 'of an unknown version' };
  },
  fetch: () => aptInstall('docker.io', 'iptables'),
  wayOut: 'install docker.io and iptables, and run the suites as root',
};

export interface Engine {
  /** For DOCKER_HOST. */
  readonly url: string;
  stop(): Promise<void>;
}

const until = untilWithin(60_000);

export async function startEngine(): Promise<Engine> {
  const dir = mkdtempSync(join(tmpdir(), 'meterfold-docker-'));
  const url = `unix://${join(dir, 'socket')}`;
  const hadBridge = existsSync('/sys/class/net/docker0');
  const places = ['--data-root', join(dir, 'data'), '--exec-root', join(dir, 'run'), '--pidfile', join(dir, 'pid')];
  const alone = ['--ip', '127.0.0.1', '--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false'];
  const child = spawn(ownProgram(docker).path, ['--host', url, ...places, ...alone], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let words = '';
  child.stderr.on('data', (text: Buffer) => (words = (words + text.toString()).slice(-4000)));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  await until('the engine answers', async () => {
    if (child.exitCode !== null) throw new Error(`dockerd ended:\n${words}`);
    return said('docker', ['--host', url, 'version', '--format', '{{.Server.Version}}']) !== undefined;
  });
  return {
    url,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
      said('umount', [join(dir, 'run', 'netns', 'default')]);
      if (!hadBridge) said('ip', ['link', 'delete', 'docker0']);
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
