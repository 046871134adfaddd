/** PostgreSQL: the ways to one. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { startContainer, type Contained } from './docker.ts';
import { aptInstall, programAt, said } from './machine.ts';
import type { Program, Service } from './ways.ts';

const PORT = 5432;
export const POSTGRES_USER = 'meterfold';

/** Debian keeps the programs of each version off PATH. */
function debianPlaces(): string[] {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  return versions.map((version) => join(debian, version, 'bin'));
}

/** The server, with its `initdb` beside it. A client alone brings none. */
function program(): Program | undefined {
  const path = programAt('postgres', debianPlaces());
  if (path === undefined || !existsSync(join(path, '..', 'initdb'))) return undefined;
  return { path, version: /\) (\S+)/.exec(said(path, ['--version']) ?? '')?.[1] ?? 'of an unknown version' };
}

export const postgres: Service = {
  name: 'PostgreSQL',
  given: 'METERFOLD_TEST_POSTGRES_URL',
  image: process.env.MF_POSTGRES_IMAGE ?? 'postgres:15.18',
  program,
  fetch: () => aptInstall('postgresql-15'),
  wayOut: 'set METERFOLD_TEST_POSTGRES_URL, install postgresql-15, or start Docker',
};

const QUICK = ['fsync=off', 'full_page_writes=off', 'synchronous_commit=off', 'max_connections=200'];

/** Quick unless settings say otherwise: it loses data with its machine, not with its process. */
export async function containPostgres(image: string, settings = QUICK, hostPort?: number): Promise<Contained> {
  const environment = { POSTGRES_USER, POSTGRES_HOST_AUTH_METHOD: 'trust' };
  const command = ['postgres', ...settings.flatMap((setting) => ['-c', setting])];
  return startContainer({ image, port: PORT, hostPort, command, environment });
}
