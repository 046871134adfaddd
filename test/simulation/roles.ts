/** What processes do: the real modules, as topology.ts wires them, over the ports of one process. */
import type { Lineage, RollupQuery, Written } from '../../src/contract.ts';
import { restored } from '../../src/batch/beat.ts';
import { rebuild } from '../../src/batch/rebuild.ts';
import { FOR_EVER } from '../../src/domain/kept.ts';
import { type Meter, meterId } from '../../src/domain/meter.ts';
import { runLane } from '../../src/runtime/lane.ts';
import { KnownGaps } from '../../src/serving/gaps.ts';
import { QueryService, type Answer, type Question } from '../../src/serving/query.ts';
import {
  archiving,
  backfill,
  collector,
  counting,
  expiry,
  heart,
  metering,
  publisher,
  redriving,
  relaying,
  type Ports,
  type Settings,
  type Wiring,
  work,
} from '../../src/topology.ts';
import { kindOf, MeterError } from '../../src/errors.ts';
import { Wake } from '../../src/runtime/wake.ts';
import { type Committed, snapshotOf } from './database.ts';
import { ALL_BUCKETS, portsOf } from './ports.ts';
import { rebuildsOf } from './rebuilds.ts';
import { BUCKETS, END, EPOCH_MS, FORMATS, TENANTS, UNIT_MS, WINDOW_MINUTES } from './sizes.ts';
import { SimProcess } from './scheduler.ts';
import type { SimLineage, World } from './world.ts';

export const settings: Settings = {
  kept: FOR_EVER,
  formats: FORMATS,
  buckets: BUCKETS,
  epochMs: EPOCH_MS,
  tickMs: UNIT_MS,
  maxUnsettled: 5,
  gcGraceMs: UNIT_MS,
  logRetentionMs: Number.MAX_SAFE_INTEGER,
  eventRowRetentionMs: 0,
};

/** What is kept is the same for all. */
const ruled = ({ climate }: World): Settings => ({
  ...settings,
  kept: { keyRetentionMs: climate.keyRetentionMs, usageRetentionMonths: 0 },
});

/** A worker has what it was built with: other defaults than its neighbour, whatever is in force in the log. */
const settingsOf = (world: World): Settings => {
  const formats = [...FORMATS];
  const turn = world.below(formats.length);
  return { ...ruled(world), formats: new Map([...formats.slice(turn), ...formats.slice(0, turn)]) };
};

export type LaneKind = 'metering' | 'archiving' | 'counting';
const WIRINGS: Readonly<Record<LaneKind, Wiring>> = { metering, archiving, counting };

/** One lane of a worker. */
export async function lane(world: World, process: SimProcess, lineage: SimLineage, kind: LaneKind): Promise<void> {
  const ports = portsOf(world, process);
  const own = settingsOf(world);
  const topology = WIRINGS[kind](ports, own);
  const { source, processor } = topology;
  const lanePorts = { ...ports, ...own, source, processor, sinks: topology.sinks() };
  try {
    if ((await runLane(lanePorts, lineage satisfies Lineage, process.stop.signal)) === 'ended')
      world.tally.add('event: lane read to END');
  } catch (error) {
    // Whoever only counts keeps no record of segments: it stops, and says why.
    if (!(kind === 'counting' && error instanceof MeterError && error.code === 'LOG_TRIMMED')) throw error;
    world.tally.add('event: reader stopped where the log was trimmed');
  }
}

/** A whole worker: every lineage, and those to come. */
export const wholeWorker = (world: World, process: SimProcess): Promise<void> => {
  const ports = portsOf(world, process);
  const own = ruled(world);
  return work(ports, own, metering(ports, own), process.stop.signal);
};

export async function publishing(world: World, process: SimProcess): Promise<void> {
  const ports = portsOf(world, process);
  await publisher(ports, new Wake(ports.clock)).step(process.stop.signal);
}

export const filling = (world: World, process: SimProcess): Promise<void> =>
  backfill(portsOf(world, process)).step(process.stop.signal);

/** Rounds of the collector: each collects what the one before it saw. */
export async function collecting(world: World, process: SimProcess, rounds: number): Promise<void> {
  const ports = portsOf(world, process);
  const role = collector(ports, settings);
  for (let n = 0; n < rounds; n += 1) {
    await role.step(process.stop.signal);
    await ports.clock.sleep(role.everyMs, process.stop.signal);
  }
}

export const beating = (world: World, process: SimProcess): Promise<void> =>
  heart(portsOf(world, process), settings).step(process.stop.signal);

/** What an operator does behind a restore. */
export async function restoring(world: World, process: SimProcess): Promise<void> {
  const { speed, beats, unique } = portsOf(world, process);
  if (beats !== undefined) await restored({ speed, beats, unique, buckets: BUCKETS });
}

export const expiring = (world: World, process: SimProcess): Promise<void> =>
  expiry(portsOf(world, process), ruled(world)).step(process.stop.signal);

/** A rebuild, or one that another process gives up. The views never differ: both are what the archive says. */
export async function rebuilding(world: World, process: SimProcess): Promise<void> {
  const ports = { ...portsOf(world, process), rebuilds: rebuildsOf(world, process) };
  if (!world.quiet && world.chance(0.1)) return ports.rebuilds.drop();
  const options = { acceptsDifferences: false, keyRetentionMs: world.climate.keyRetentionMs };
  const { state, differences } = await rebuild(ports, options, process.stop.signal);
  world.tally.add(`check: rebuild ${state}`);
  if (differences.length > 0) world.fail(`rebuild: ${JSON.stringify(differences.slice(0, 3))}`);
}

export const relayed = (world: World, process: SimProcess): Promise<void> =>
  relaying(portsOf(world, process)).step(process.stop.signal);

/** All rejects that would count by now. */
export const redrivenAll = async (world: World, process: SimProcess): Promise<void> =>
  void (await redriving(portsOf(world, process), ruled(world), { filter: {}, dryRun: false }));

// --- readers ---------------------------------------------------------------------------------------------------------

/** Windows over all that was sent. */
export function edgesOf(world: World): number[] {
  const last = Math.ceil(world.now / 60_000) + 2 * WINDOW_MINUTES;
  return Array.from({ length: Math.ceil(last / WINDOW_MINUTES) + 1 }, (_, n) => n * WINDOW_MINUTES);
}

/** Any version that answers, as this process knows. */
function questionOf(world: World, { newest, serving }: Ports['ruleSets']): Question {
  const known = newest.meters.meters.filter((meter) => serving.has(meterId(meter)));
  const later = known.filter(({ version }) => version > 1);
  const among = later.length > 0 && world.chance(0.4) ? later : known;
  const meter = among[world.below(among.length)];
  if (meter === undefined) throw new Error('no meter answers');
  const tenants = [...TENANTS.keys()];
  const tenant = world.chance(0.2) ? undefined : tenants[world.below(tenants.length)];
  return { meter, tenant, edges: edgesOf(world), groupBy: [], filter: new Map(), after: writesOf(world, tenant) };
}

/** Sometimes the reader wants to read its own write. */
function writesOf(world: World, tenant: string | undefined): readonly Written[] {
  if (tenant === undefined || !world.chance(0.2)) return [];
  // A tenant that is spread has several homes: one of them may do.
  const lineage = world.homeOf(tenant);
  const last = lineage.records.at(-1);
  return last === undefined ? [] : [{ lineage: lineage.id, position: last.position }];
}

const reachesOf = ({ proof }: Answer) =>
  proof.lineages.flatMap(({ lineage, reaches }) => reaches.map((reach) => ({ ...reach, lineage })));

/** Other snapshots of the batch view that one answer is tried with. */
const OTHER_CUTS = 6;

/** One answer to a given question, by a reader that knows what it knew when its ports were made; checked at its proof. */
export async function answering(world: World, ports: Ports, meter: Meter, tenant: string): Promise<void> {
  const question = { meter, tenant, edges: edgesOf(world), groupBy: [], filter: new Map(), after: [] };
  let taken = world.database.newest;
  const snapshot: Ports['batch']['snapshot'] = (query) => {
    taken = world.database.newest;
    return ports.batch.snapshot(query);
  };
  const service = await serviceOf(world, ports, snapshot, ports.speed.read, 'started');
  const answer = await service.answer(question).catch(excuse(world));
  if (answer !== undefined) check(world, question, answer, taken);
}

/** Asks, and checks the answer at its proof, and the answer that every other admissible snapshot would have given. */
export async function reading(world: World, process: SimProcess, answers: number): Promise<void> {
  const ports = portsOf(world, process);
  const seen: { snapshots: number; taken?: Committed; states: Awaited<ReturnType<typeof ports.speed.read>> } = {
    snapshots: 0,
    states: [],
  };
  const snapshot: Ports['batch']['snapshot'] = (query) => {
    seen.snapshots += 1;
    seen.taken = world.database.newest;
    return ports.batch.snapshot(query);
  };
  const speedRead: Ports['speed']['read'] = async (buckets, select) =>
    (seen.states = await ports.speed.read(buckets, select));
  // Most readers run for long: all was filled when they started.
  const service = await serviceOf(world, ports, snapshot, speedRead, world.chance(0.3) ? 'fresh' : 'started');
  for (let n = 0; n < answers; n += 1) {
    if (world.chance(0.5)) await ports.ruleSets.refresh().catch(excuse(world));
    const question = questionOf(world, ports.ruleSets);
    await starting(world, process, service);
    seen.snapshots = 0;
    const answer = await service.answer(question, process.stop.signal).catch(excuse(world));
    if (answer === undefined) continue;
    if (seen.snapshots > 1) world.tally.add('event: reader took a second snapshot');
    check(world, question, answer, seen.taken ?? world.database.newest);
    if (answer.proof.reason !== 'speed_unreachable') await checkOtherCuts(world, question, seen);
  }
}
const READER = { buckets: BUCKETS, trouble: () => undefined, afterTimeoutMs: 4 * UNIT_MS };
/** How late events are taken, ms. */
const PAST_MS = 20 * UNIT_MS;
const LONG_AGO = 'long ago';

/** A reader; one that has `started` saw every lineage with a fence in every bucket, long ago. */
async function serviceOf(
  world: World,
  ports: Ports,
  snapshot: Ports['batch']['snapshot'],
  read: Ports['speed']['read'],
  age: 'fresh' | 'started',
): Promise<QueryService> {
  let isFresh = age === 'fresh';
  const long = { cuts: new Map([[LONG_AGO, { segments: 1, position: END, arrival: 0, rules: 1 }]]), cells: [] };
  const service = new QueryService({
    ...ports,
    ...READER,
    gaps: new KnownGaps(ports.catalog, PAST_MS),
    lineages: () => (isFresh ? world.lineages : [{ id: LONG_AGO }]),
    batch: { ...ports.batch, snapshot: (query) => (isFresh ? snapshot(query) : Promise.resolve(long)) },
    speed: { ...ports.speed, read: (buckets, select) => (isFresh ? read(buckets, select) : Promise.resolve([])) },
  });
  if (!isFresh) await service.demandStarted();
  isFresh = true;
  return service;
}

async function starting(world: World, process: SimProcess, service: QueryService): Promise<void> {
  const isStarted = await service.demandStarted().then(
    () => true,
    () => false,
  );
  if (!isStarted) {
    world.tally.add('event: answer refused while starting');
    await world.scheduler.gate(process, 'reader waits', 'sleep');
  }
}

/** What a reader may be told instead of an answer. */
const excuse =
  (world: World) =>
  (error: unknown): undefined => {
    const isGone = error instanceof MeterError && error.code === 'UNKNOWN_METER';
    if (!isGone && kindOf(error) !== 'transient') throw error;
    world.tally.add(isGone ? 'event: version not measured any more' : 'event: no answer (transient)');
  };

function check(world: World, question: Question, answer: Answer, { cuts }: Committed): void {
  const { oracle, tally } = world;
  const reaches = reachesOf(answer);
  const truth = oracle.below(cuts);
  const asked = { meter: meterId(question.meter), tenant: question.tenant, edges: question.edges };
  oracle.answer('invariant 7: an answer', asked, answer.rows, { reaches, truth });
  tally.add('check: answer at its proof (7)');
  if (question.meter.version > 1) tally.add('check: answer of a later version');
  const { proof } = answer;
  if (proof.state === 'provisional') tally.add('event: answer provisional');
  oracle.asOf(Date.parse(proof.as_of), question.tenant, reaches, truth);
  demandGaps(world, answer, cuts);
  tally.add('check: as_of of an answer');
  for (const write of question.after ?? []) {
    tally.add('event: answer waited for a write');
    if (reaches.some((r) => r.lineage === write.lineage && r.position <= write.position))
      world.fail(`after: an answer does not reach ${write.position} of ${write.lineage}`);
  }
}

/** What is folded as lost is named, and makes the answer provisional until somebody acknowledges it. */
function demandGaps(world: World, { proof }: Answer, cuts: Committed['cuts']): void {
  const folded = world.gaps.filter(({ lineage, segment }) => segment < (cuts.get(lineage)?.segments ?? 0));
  if (folded.length === 0) return;
  world.tally.add('check: answer names the gaps that it has folded');
  const named = new Set((proof.gaps ?? []).map(({ lineage, from }) => `${lineage} ${from}`));
  const silent = folded.find(({ lineage, from }) => !named.has(`${lineage} ${from}`));
  if (silent !== undefined) world.fail(`gap: an answer is silent of the one of ${silent.lineage} at ${silent.from}`);
  if (proof.state === 'exact' && folded.some(({ acknowledged }) => acknowledged === null))
    world.fail('gap: an answer is exact, and nobody has acknowledged what it lacks');
}

type States = Awaited<ReturnType<ReturnType<typeof portsOf>['speed']['read']>>;

async function checkOtherCuts(
  world: World,
  question: Question,
  { taken, states }: { readonly taken?: Committed; readonly states: States },
): Promise<void> {
  const { snapshots } = world.database;
  const isAdmissible = ({ cuts, serving }: Committed): boolean =>
    serving.has(meterId(question.meter)) &&
    states.every(({ floors }) => [...floors].every(([id, floor]) => floor <= (cuts.get(id)?.segments ?? 0)));
  const others = snapshots.filter((other) => other !== taken && isAdmissible(other));
  // The earliest and the latest, and some in between.
  while (others.length > OTHER_CUTS) others.splice(1 + world.below(others.length - 2), 1);
  for (const other of others) {
    const answer = await answerOf(world, question, other, states).catch(excuse(world));
    if (answer === undefined) continue;
    const asked = { meter: meterId(question.meter), tenant: question.tenant, edges: question.edges };
    const truth = world.oracle.below(other.cuts);
    world.oracle.answer('invariant 5: another cut', asked, answer.rows, { reaches: reachesOf(answer), truth });
    world.tally.add('check: other cut, same speed state (5)');
  }
}

/** The answer that the real reader gives for a snapshot and a state of the speed layer. */
async function answerOf(world: World, question: Question, snapshot: Committed, states: States): Promise<Answer> {
  const ports = portsOf(world, new SimProcess(-1, 'none'));
  const taken = (query: RollupQuery) => Promise.resolve(snapshotOf(snapshot, query));
  const service = await serviceOf(world, ports, taken, () => Promise.resolve(states), 'started');
  return service.answer({ ...question, after: [] });
}

/** At the end every version that is measured answers. */
function measuredOf(world: World): readonly Meter[] {
  const { meters } = world.newestRules.meters;
  for (const meter of meters)
    if (!world.database.committed.serving.has(meterId(meter))) world.fail(`liveness: ${meterId(meter)} does not answer`);
  return meters;
}

/** At the end: exact, and the full truth, for every tenant and meter. */
export async function finalAnswers(world: World, process: SimProcess): Promise<void> {
  const ports = portsOf(world, process);
  const gaps = new KnownGaps(ports.catalog, PAST_MS);
  const service = new QueryService({ ...ports, ...READER, gaps, lineages: () => world.lineages });
  const isMarred = world.gaps.some(({ acknowledged }) => acknowledged === null);
  const last = { reaches: world.oracle.everything(ALL_BUCKETS.length), truth: world.oracle };
  for (const tenant of [undefined, ...TENANTS.keys()]) {
    for (const meter of measuredOf(world)) {
      const edges = edgesOf(world);
      const answer = await service.answer({ meter, tenant, edges, groupBy: [], filter: new Map() });
      const asked = { meter: meterId(meter), tenant, edges };
      world.oracle.answer('invariant 8: the last answer', asked, answer.rows, last);
      if (answer.proof.reason !== (isMarred ? 'gap' : undefined))
        world.fail(`liveness: the last answer is provisional: ${answer.proof.reason}`);
      world.tally.add('check: full truth at the end (8)');
    }
  }
}
