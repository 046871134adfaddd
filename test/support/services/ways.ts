/**
 * How a suite, or a person, gets a server: the ways in their order. The first that leads anywhere is taken, and it is the same
 * one in every process of a run.
 */
import { hasImage } from './docker.ts';

/** A program on this machine. */
export interface Program {
  readonly path: string;
  readonly version: string;
}

/** A kind of server, and what is known of how to get one. */
export interface Service {
  readonly name: string;
  /** The variable that holds the address of one that runs already. */
  readonly given?: string;
  /** On the machine, or in the cache. */
  program(): Program | undefined;
  readonly image?: string;
  /** By an ordinary package registry, so that `program` finds it. */
  fetch(): void;
  /** What somebody without any can do. */
  readonly wayOut: string;
}

export type Found = { readonly server: string } & (
  | { readonly way: 'given'; readonly url: string }
  | { readonly way: 'program' | 'fetched'; readonly program: Program }
  | { readonly way: 'Docker'; readonly image: string }
);

/** What the way depends on, other than the service. */
export interface Means {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether a Docker engine answers and has the image, or can pull it. */
  readonly hasImage: (image: string) => boolean;
}

const ours: Means = { env: process.env, hasImage };

/** In CI every server is required. */
export const isCi = process.env.CI === 'true';

const mayFetch = ({ CI, MF_SERVICES }: Means['env']): boolean => CI === 'true' || MF_SERVICES === 'fetch';

/** Those of `host:port,host:port` and of URLs, without what is secret in them. */
const shown = (url: string): string => url.replace(/[a-z+]+:\/\/(?:[^@/]*@)?/g, '').replace(/[/?].*$/, '');

function given({ name, given: variable }: Service, { env }: Means): Found | undefined {
  const url = variable === undefined ? '' : (env[variable] ?? '');
  return url === '' ? undefined : { way: 'given', url, server: `${name} at ${shown(url)}` };
}

function program(service: Service, way: 'program' | 'fetched' = 'program'): Found | undefined {
  const found = service.program();
  return found && { way, program: found, server: `${service.name} ${found.version}` };
}

function docker({ name, image }: Service, means: Means): Found | undefined {
  if (image === undefined || !means.hasImage(image)) return undefined;
  return { way: 'Docker', image, server: `${name} in Docker (${image})` };
}

function fetched(service: Service, { env }: Means): Found | undefined {
  if (!mayFetch(env)) return undefined;
  try {
    service.fetch();
  } catch (error) {
    throw new Error(`fetch ${service.name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  return program(service, 'fetched');
}

/**
 * What a suite does to its server: `any` keeps to names of its own, `empty` has it for itself, `own` kills it, pauses it, and
 * starts it anew with other settings.
 */
export type Need = 'any' | 'empty' | 'own';

interface Row {
  readonly serves: readonly Need[];
  readonly find: (service: Service, means: Means) => Found | undefined;
}

const WAYS: readonly Row[] = [
  { serves: ['any'], find: given },
  { serves: ['any', 'empty', 'own'], find: (service) => program(service) },
  { serves: ['any', 'empty'], find: docker },
  { serves: ['any', 'empty', 'own'], find: fetched },
];

/** Undefined where no way leads to one. */
export function find(service: Service, need: Need = 'any', means: Means = ours): Found | undefined {
  for (const way of WAYS) {
    const found = way.serves.includes(need) ? way.find(service, means) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A program of this machine, or fetched: for what starts processes of its own. */
export function ownProgram(service: Service, means: Means = ours): Program {
  const found = find(service, 'own', means);
  if (found === undefined || !('program' in found)) throw new Error(`no ${service.name} on this machine: ${service.wayOut}`);
  return found.program;
}
