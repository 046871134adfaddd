/**
 * Makes the whole batch view anew from the archive, beside the one that answers: the same publish and the same back-fill, on
 * a second set of tables. It is compared with the live view, and takes its place under the lock of both, at equal cuts.
 */
import type { Clock } from '../clock.ts';
import type {
  BatchView,
  Catalog,
  Extent,
  Filled,
  FlipTransaction,
  Lineage,
  NotCompared,
  Rebuilds,
  RuleSets,
  Source,
  ViewDifference,
} from '../contract.ts';
import { type Meter, meterId } from '../domain/meter.ts';
import { MeterError } from '../errors.ts';
import { fillMeter } from './backfill.ts';
import type { PublishPorts } from './publish.ts';
import { publishLineage } from './publisher.ts';

export interface RebuildPorts extends PublishPorts {
  readonly log: Pick<Source, 'lineages'>;
  readonly catalog: Catalog;
  readonly batch: BatchView;
  readonly rebuilds: Rebuilds;
  readonly ruleSets: RuleSets;
  readonly clock: Clock;
}

export interface RebuildOptions {
  /** Flip also where the views differ: the live one is known to be wrong. */
  readonly acceptsDifferences: boolean;
  /** 0: keys are kept for ever. */
  readonly keyRetentionMs: number;
  /** Told how many segments of the live view are in the new one. */
  readonly onProgress?: (segments: number, of: number) => void;
}

/** `differs`: nothing was flipped, what was built is still there. */
export interface Rebuilt {
  readonly state: 'flipped' | 'differs' | 'stopped';
  /** The first of them. */
  readonly differences: readonly ViewDifference[];
}

/** Where the rebuild of one server stands. */
export interface RebuildStatus {
  /** `left`: begun by a process that is gone, or stopped; starting it goes on. */
  readonly state: 'none' | 'left' | 'running' | 'flipped' | 'differs' | 'failed';
  /** Segments of the live view that are in the new one. */
  readonly segments: number;
  readonly of: number;
  /** The first of them. */
  readonly differences: readonly ViewDifference[];
  /** Why it failed, or what it waits for. */
  readonly detail?: string;
}

/** Then it is told, and tried again with a pause. */
const MOST_TRIES = 100;
/** More of them say no more. */
const MOST_DIFFERENCES = 100;

/** Goes on with what an earlier rebuild left. Throws what the ports throw; trying again goes on. */
export async function rebuild(ports: RebuildPorts, options: RebuildOptions, stop: AbortSignal): Promise<Rebuilt> {
  const view = await ports.rebuilds.open();
  const isStopped = (): boolean => stop.aborted;
  const building = { ...ports, live: ports.batch, batch: view, facts: silent };
  await catchUp(building, options, stop);
  const differences = await compareAll(building, options, stop);
  if (isStopped()) return { state: 'stopped', differences };
  if (differences.length > 0 && !options.acceptsDifferences) return { state: 'differs', differences };
  // The live view goes on meanwhile, so that it may be a segment ahead.
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    if (await ports.rebuilds.flip(flip)) return { state: 'flipped', differences };
    await catchUp(building, options, stop);
    if (isStopped()) return { state: 'stopped', differences };
  }
  throw new MeterError(
    'DATABASE_UNAVAILABLE',
    `rebuild: the live view was ahead at each of ${String(MOST_TRIES)} tries to flip`,
  );
}

/** The lock first: extents that are read before it are overtaken by a publish under way. */
async function flip(tx: FlipTransaction): Promise<boolean> {
  await tx.lock();
  const { live, rebuilt } = await tx.extents();
  if (!isLevel(live, rebuilt)) return false;
  await tx.swap();
  return true;
}

/** Whoever read how far the live view is goes on from there, in the new one. */
function isLevel(live: Extent, rebuilt: Extent): boolean {
  const ids = [...new Set([...live.cuts.keys(), ...rebuilt.cuts.keys()])];
  const hasCuts = ids.every((id) => live.cuts.get(id)?.segments === rebuilt.cuts.get(id)?.segments);
  const hasVersions = [...live.serving].every((meter) => rebuilt.serving.has(meter));
  return hasCuts && hasVersions && hasFilled(live.filled, rebuilt);
}

/** A version that is being filled: a back-fill under way would leave out what the new view has not got. */
function hasFilled(live: Filled, { filled, serving }: Extent): boolean {
  const isThere = (meter: string, [lineage, segments]: readonly [string, number]): boolean =>
    (filled.get(meter)?.get(lineage) ?? 0) >= segments;
  return [...live].every(([meter, all]) => serving.has(meter) || [...all].every((one) => isThere(meter, one)));
}

/** What lies beside the live view is no fact of its own: nothing answers by it. */
const silent = { published: (): void => undefined, filled: (): void => undefined, serving: (): void => undefined };

interface Building extends RebuildPorts {
  /** `batch` is the one that is built. */
  readonly live: BatchView;
  readonly facts: typeof silent;
}

/** Publishes what the live view has, and fills the versions that began later. */
async function catchUp(building: Building, options: RebuildOptions, stop: AbortSignal): Promise<void> {
  const cuts = await building.live.cuts();
  const of = (lineage: Lineage): number => cuts.get(lineage.id)?.segments ?? 0;
  const publishing = { ...building, facts: { published: await progressOf(building, options, cuts) } };
  for (const lineage of await building.log.lineages()) await publishLineage(publishing, lineage, stop, of(lineage));
  await fillAll(building, stop);
}

/** Answers what to call when one more segment is in. A closed lineage has as many as its head says. */
async function progressOf(
  { batch, catalog }: Building,
  { onProgress }: RebuildOptions,
  live: ReadonlyMap<string, { readonly segments: number }>,
): Promise<() => void> {
  const sealed = new Map((await catalog.heads()).map(({ lineage, segment }) => [lineage, segment]));
  const count = (cuts: ReadonlyMap<string, { readonly segments: number }>): number =>
    [...cuts].reduce((sum, [id, { segments }]) => sum + Math.min(segments, sealed.get(id) ?? 0), 0);
  const of = count(live);
  let done = count(await batch.cuts());
  return () => {
    done += 1;
    onProgress?.(done, of);
  };
}

/** Versions that answer, are to, or were begun: those of the newest rules, and older ones that another process may still know. */
async function fillAll(building: Building, stop: AbortSignal): Promise<void> {
  const { batch, live, ruleSets } = building;
  await ruleSets.refresh();
  const known = await everyVersion(ruleSets);
  // Nothing lies before the first rules: their meters are whole with the publish.
  const first = new Set(ruleSets.get(1).meters.meters.map(meterId));
  const served = await live.serving();
  const wanted = new Set([...served, ...(await live.filled()).keys(), ...ruleSets.newest.meters.meters.map(meterId)]);
  const there = await batch.serving();
  for (const [id, meter] of known) {
    if (there.has(id) || !wanted.has(id)) continue;
    if (first.has(id)) await batch.serve(id);
    else await fillMeter(building, meter, stop);
  }
}

async function everyVersion(ruleSets: RuleSets): Promise<Map<string, Meter>> {
  const known = new Map<string, Meter>();
  for (let version = 1; version <= ruleSets.newest.version; version += 1) {
    await ruleSets.demand(version);
    for (const meter of ruleSets.get(version).meters.meters) known.set(meterId(meter), meter);
  }
  return known;
}

/** Some tenants at a time: no statement is long, and one that met uneven cuts is made again. */
async function compareAll(building: Building, options: RebuildOptions, stop: AbortSignal): Promise<ViewDifference[]> {
  const differences: ViewDifference[] = [];
  let after: string | undefined;
  while (!stop.aborted && differences.length < MOST_DIFFERENCES) {
    const found = await building.rebuilds.compare(after, await notCompared(building, options));
    if (!found.isLevel) {
      await catchUp(building, options, stop);
      continue;
    }
    differences.push(...found.differences);
    if (found.next === undefined) break;
    after = found.next;
  }
  return differences.slice(0, MOST_DIFFERENCES);
}

async function notCompared({ live, ruleSets, clock }: Building, { keyRetentionMs }: RebuildOptions): Promise<NotCompared> {
  const served = await live.serving();
  const meters = [...(await everyVersion(ruleSets)).keys()].filter((id) => !served.has(id));
  return { meters, keysBefore: keyRetentionMs === 0 ? 0 : clock.now() - keyRetentionMs };
}
