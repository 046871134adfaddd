/** Redis: the ways to one. */
import { startContainer, type Contained } from './docker.ts';
import { aptInstall, programAt, said } from './machine.ts';
import type { Service } from './ways.ts';

const PORT = 6379;

export const redis: Service = {
  name: 'Redis',
  given: 'METERFOLD_TEST_REDIS_URL',
  image: process.env.MF_REDIS_IMAGE ?? 'redis:7.4.2',
  program: () => {
    const path = programAt('redis-server');
    if (path === undefined) return undefined;
    return { path, version: /v=(\S+)/.exec(said(path, ['--version']) ?? '')?.[1] ?? 'of an unknown version' };
  },
  fetch: () => aptInstall('redis-server'),
  wayOut: 'set METERFOLD_TEST_REDIS_URL, install redis-server, or start Docker',
};

/** It keeps nothing, as those that are started as processes, unless settings say otherwise. */
export async function containRedis(
  image: string,
  settings: readonly string[] = ['--save', '', '--appendonly', 'no'],
  hostPort?: number,
): Promise<Contained> {
  // Whoever calls comes from another address than its own.
  const command = ['redis-server', '--protected-mode', 'no', ...settings];
  return startContainer({ image, port: PORT, hostPort, command });
}
