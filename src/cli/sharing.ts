/** Processes that share an installation: what they need for it, and how they divide the lineages. */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Facts, Sharing } from '../contract.ts';
import { MeterError } from '../errors.ts';
import { leases } from '../sources/leases.ts';
import type { RoleName } from '../topology.ts';
import type { Stores } from './stores.ts';

const NEEDS = {
  databaseUrl: "the embedded database is one process's own",
  redisUrls: 'counters in the memory of one process are seen by no other',
  s3Bucket: "a directory is one process's own",
} as const;

/** Throws BAD_CONFIG naming the first setting that is missing, and why it is needed. */
export function demandSharing(config: Config, roles: ReadonlySet<RoleName>): void {
  for (const name of NEEDED) demandGiven(config, roles, name);
}

export type Needed = keyof typeof NEEDS;
export const NEEDED = Object.keys(NEEDS) as readonly Needed[];

export function demandGiven(config: Config, roles: ReadonlySet<RoleName>, missing: Needed): void {
  if (config[missing] !== undefined) return;
  const role = [...roles].join(', ');
  throw new MeterError('BAD_CONFIG', `start the role ${role}: it needs ${missing}, because ${NEEDS[missing]}`, {
    field: missing,
    allowed: `${missing}, or all roles in one process: meterfold dev`,
  });
}

interface SharingPorts {
  readonly clock: Clock;
  readonly facts: Pick<Facts, 'waiting' | 'recovered'>;
}

const WHAT = 'sharing';

/** By the groups of the broker, else by leases in the database. */
export function sharingOf({ leaseMs: ttlMs }: Config, { log, pool }: Stores, { clock, facts }: SharingPorts): Sharing {
  let isTroubled = false;
  const health = {
    troubled: (error: unknown): void => {
      isTroubled = true;
      facts.waiting(WHAT, error);
    },
    settled: (): void => {
      if (isTroubled) facts.recovered(WHAT);
      isTroubled = false;
    },
  };
  const lineages = () => log.lineages();
  return log.sharing?.(health) ?? leases({ pool, clock, lineages, owner: randomUUID(), ttlMs, health });
}
