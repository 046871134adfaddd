/**
 * The whiteboard: what is wired to what.
 *
 *   producer ─► log ─► decode ─► validate ─► meter ─┬─► speed sink: live counters, fenced per bucket
 *                                                   └─► archive sink: sealed segments, manifest
 *   manifest ─► publisher ─► batch view              batch view + live counters ─► one merged answer
 */
import { fillVersions } from './batch/backfill.ts';
import { beatOnce, demandCurrent } from './batch/beat.ts';
import { collect } from './batch/collect.ts';
import { expire, hoursAhead } from './batch/expiry.ts';
import { publishLineage } from './batch/publisher.ts';
import { type Redriven, redrive, type RedriveRequest } from './batch/redrive.ts';
import { relay } from './batch/relay.ts';
import { trimLineage } from './batch/retention.ts';
import { type Oldest, takeStock } from './batch/stock.ts';
import type { Clock } from './clock.ts';
import type {
  Archive,
  BatchView,
  Beats,
  Catalog,
  Cut,
  Facts,
  Lineage,
  Producer,
  Rejects,
  RuleSets,
  Sharing,
  Source,
  SpeedStore,
  Tables,
} from './contract.ts';
import type { Kept } from './domain/kept.ts';
import type { ArchiveFormats } from './domain/segment.ts';
import { decode } from './processors/decode.ts';
import { judge } from './processors/judge.ts';
import { meter } from './processors/meter.ts';
import { validate } from './processors/validate.ts';
import { from, type Stage, type Topology } from './runtime/pipeline.ts';
import { type Role, runRole } from './runtime/role.ts';
import { supervise } from './runtime/supervise.ts';
import type { Metered } from './runtime/term.ts';
import { Wake } from './runtime/wake.ts';
import { ArchiveSink } from './sinks/archive/sink.ts';
import { SpeedSink } from './sinks/speed/sink.ts';

/** Everything outside, behind ports: embedded and production differ in these alone. */
export interface Ports {
  readonly log: Source & Producer;
  readonly speed: SpeedStore;
  /** Absent where the counters live and die with the process: no earlier state of the database can meet them. */
  readonly beats?: Beats;
  readonly archive: Archive;
  readonly catalog: Catalog;
  readonly rejects: Rejects;
  readonly batch: BatchView;
  readonly tables: Tables;
  /** Versions of meters, tenants and spread. */
  readonly ruleSets: RuleSets;
  readonly clock: Clock;
  readonly facts: Facts;
  readonly random: () => number;
  /** A value never used before. */
  readonly unique: () => string;
}

export interface Settings {
  /** A bound of verdicts: fixed at the first start, and the same for every process. */
  readonly kept: Kept;
  readonly formats: ArchiveFormats;
  readonly buckets: number;
  readonly epochMs: number;
  readonly tickMs: number;
  readonly maxUnsettled: number;
  readonly gcGraceMs: number;
  readonly logRetentionMs: number;
  readonly eventRowRetentionMs: number;
}

/** Every record: what it is, whether it counts, what it adds to which cells. */
const judged = (p: Ports, { kept }: Settings): Stage<Metered> =>
  from(p.log)
    .through(decode)
    .through(() => validate(p.ruleSets, kept))
    .through(() => meter(p));

/** From the log to live counters and archive. */
export const metering = (p: Ports, s: Settings): Topology => judged(p, s).into(liveCounters(p, s), sealedArchive(p));

/** From the log to the archive alone: what an import of history needs. */
export const archiving = (p: Ports, s: Settings): Topology => judged(p, s).into(sealedArchive(p));

/** From the log to live counters alone: what a reader of a directory without a server needs. */
export const counting = (p: Ports, s: Settings): Topology => judged(p, s).into(liveCounters(p, s));

const liveCounters =
  (p: Ports, { buckets, epochMs }: Settings) =>
  () =>
    new SpeedSink({ ...p, store: p.speed, buckets, epochMs, cuts: () => p.batch.cuts(), lineages: () => p.log.lineages() });

const sealedArchive = (p: Ports) => () => new ArchiveSink(p);

/** Look for new lineages this often, ms. */
const DISCOVER_MS = 5000;
/** Without a poke (another process sealed), look for sealed segments this often, ms. */
const PUBLISH_MS = 1000;
const RELAY_MS = 1000;
const BACKFILL_MS = 500;
const RETENTION_MS = 10_000;
const MONTHS_MS = 3_600_000;
/** As often as metrics are scraped. */
const STOCK_MS = 5000;
const GUARD_MS = 1000;

/** worker: one lane a lineage, of all or of its share. Resolves when `stop` aborted and all lanes have drained. */
export const work = (p: Ports, s: Settings, topology: Topology, stop: AbortSignal, sharing?: Sharing): Promise<void> => {
  const { formats, maxUnsettled } = s;
  return supervise({ ...p, topology, formats, maxUnsettled, discoverMs: DISCOVER_MS, sharing }, stop);
};

/** What other processes recorded of rules, for one that has no other reason to look. */
export const lookout = (p: Ports): Role => ({
  name: 'lookout',
  everyMs: BACKFILL_MS,
  step: () => p.ruleSets.refresh(),
});

/** publisher: sealed segments into the batch view. */
export const publisher = (p: Ports, wake: Wake): Role => ({
  name: 'publisher',
  everyMs: PUBLISH_MS,
  wake,
  step: async (stop) => {
    for (const lineage of await p.log.lineages()) await publishLineage(p, lineage, stop);
  },
});

/** backfill: versions of meters are filled with what lies before their control records, and answer once they are. */
export const backfill = (p: Ports): Role => ({
  name: 'backfill',
  everyMs: BACKFILL_MS,
  step: (stop) => fillVersions(p, stop),
});

/** collector: cells that are published and epochs that nothing needs leave the speed store. */
export const collector = (p: Ports, { buckets, epochMs, gcGraceMs }: Settings): Role => {
  let before: ReadonlyMap<string, Cut> = new Map();
  const ports = { ...p, store: p.speed, buckets, epochMs };
  return { name: 'collector', everyMs: gcGraceMs, step: async () => void (before = await collect(ports, before)) };
};

/** A page of rejects goes into the outbox, where it would count now: judged by the steps of the lane, outside of it. */
export const redriving = (p: Ports, { kept }: Settings, request: RedriveRequest): Promise<Redriven> =>
  redrive({ ...p, producer: p.log, judge: judge(p.ruleSets, kept) }, request);

/** relay: what the outbox holds, misrouted or redriven, goes home. */
export const relaying = (p: Ports): Role => ({
  name: 'relay',
  everyMs: RELAY_MS,
  step: async () => {
    while ((await relay({ ...p, producer: p.log })) > 0);
  },
});

/** ticker: ticks into every lineage, so that idle ones close segments, advance fences and prove freshness. */
export const ticker = (p: Ports, { tickMs }: Settings): Role => ({
  name: 'ticker',
  everyMs: tickMs,
  step: async () => {
    await p.log.control({ type: 'tick' });
    p.facts.ticked();
  },
});

/** heart: counts on in the database and tells the speed store: whoever looks sees a database that was put back. */
export const heart = ({ speed, beats }: Ports, { tickMs }: Settings): Role => ({
  name: 'heart',
  everyMs: tickMs,
  step: async () => {
    if (beats !== undefined) await beatOnce({ speed, beats });
  },
});

/** guard: stops a process whose database was put back. */
export const guard = ({ speed, beats }: Ports): Role => ({
  name: 'guard',
  everyMs: GUARD_MS,
  step: async () => {
    if (beats !== undefined) await demandCurrent({ speed, beats });
  },
});

/** stock: how far the batch view and the outbox are behind, for metrics. */
export const stock = (p: Ports): Role => {
  let oldest: Oldest | undefined;
  return { name: 'stock', everyMs: STOCK_MS, step: async () => void (oldest = await takeStock(p, oldest)) };
};

/** retention: what is published and old leaves the log. */
export const retention = (p: Ports, { logRetentionMs: keepMs }: Settings): Role => {
  const next = new Map<string, number>();
  const trim = async (lineage: Lineage): Promise<void> => {
    const done = await trimLineage({ ...p, source: p.log, keepMs }, lineage, p.clock.now(), next.get(lineage.id) ?? 0);
    next.set(lineage.id, done.next);
  };
  return {
    name: 'retention',
    everyMs: RETENTION_MS,
    step: async () => {
      for (const lineage of await p.log.lineages()) await trim(lineage);
    },
  };
};

/** months: partitions of the hourly usage that publishes will need. */
export const months = (p: Ports): Role => ({
  name: 'months',
  everyMs: MONTHS_MS,
  step: () => p.batch.prepare(hoursAhead(p.clock.now())),
});

/** expiry: months, keys and the payload of event rows that settings let go of leave the tables. */
export const expiry = (p: Ports, s: Settings): Role => ({
  name: 'expiry',
  everyMs: RETENTION_MS,
  step: async (stop) => void (await expire({ ...p, source: p.log }, s, p.clock.now(), stop)),
});

/**
 * What processes are for. In production each is a process of its own, any number of each; `dev` is all of them in one.
 * `ingest` and `api` serve HTTP, and have nothing else to do but to know what others recorded.
 */
export const ROLES = ['ingest', 'worker', 'publisher', 'relay', 'scheduler', 'api'] as const;
export type RoleName = (typeof ROLES)[number];

const beating = (role: Role, { beats }: Ports): Role[] => (beats === undefined ? [] : [role]);

/** The loops of each role, but for the lanes of a worker, and what those that serve HTTP know by `lookout`. */
const loops: Readonly<Record<RoleName, (p: Ports, s: Settings, sealed: Wake) => readonly Role[]>> = {
  ingest: () => [],
  worker: (p) => beating(guard(p), p),
  publisher: (p, _, sealed) => [publisher(p, sealed), backfill(p)],
  relay: (p) => [relaying(p)],
  scheduler: (p, s) => [
    ticker(p, s),
    ...beating(heart(p, s), p),
    collector(p, s),
    months(p),
    retention(p, s),
    expiry(p, s),
    stock(p),
  ],
  api: (p) => beating(guard(p), p),
};

/** A publisher's back-fill looks by itself, as often: one process looks once. */
const looksOut = (roles: ReadonlySet<RoleName>): boolean =>
  (roles.has('ingest') || roles.has('api')) && !roles.has('publisher');

export interface Running {
  readonly roles: ReadonlySet<RoleName>;
  readonly wiring: typeof metering;
  /** Where several workers share the log. */
  readonly sharing?: Sharing;
  /** Before it only lanes and ticks run: what is left to fold must not keep lanes from opening where one database serves both. */
  readonly started?: Promise<void>;
}

/** Resolves when `stop` aborted and all have drained; throws the first fatal error. */
export async function runRoles(ports: Ports, s: Settings, running: Running, stop: AbortSignal): Promise<void> {
  const { roles, wiring, sharing, started = Promise.resolve() } = running;
  const failed = new AbortController();
  const over = AbortSignal.any([stop, failed.signal]);
  const sealed = new Wake(ports.clock);
  const p = { ...ports, facts: pokeOnSeal(ports.facts, sealed) };
  const lanes = roles.has('worker') ? [work(p, s, wiring(p, s), over, sharing)] : [];
  const looping = [...roles].flatMap((role) => loops[role](p, s, sealed));
  if (looksOut(roles)) looping.push(lookout(p));
  const rounds = looping.map(async (role) => {
    if (role.name !== 'ticker') await started;
    await runRole(p, role, over);
  });
  const outcomes = await Promise.allSettled([...lanes, ...rounds].map((one) => one.catch((e: unknown) => fail(failed, e))));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

export type Wiring = typeof metering;

function fail(failed: AbortController, error: unknown): never {
  failed.abort();
  throw error;
}

function pokeOnSeal(facts: Facts, sealed: Wake): Facts {
  const poking = Object.create(facts) as Facts;
  poking.sealed = (row, seconds) => {
    facts.sealed(row, seconds);
    sealed.poke();
  };
  return poking;
}
