/** Schedules: seeded steps that advance, start, pause or kill a process, or change the world; then faults end. */
import { keyDigest } from '../../src/domain/canonical.ts';
import { encodeEvent } from '../../src/domain/avro.ts';
import { formatTime } from '../../src/domain/time.ts';
import { bucketOf, routingKeyOf } from '../../src/domain/routing.ts';
import type { Fact } from './oracle.ts';
import { pick, type Random, randomOf, weighted } from './random.ts';
import { type Meter, meterId } from '../../src/domain/meter.ts';
import { meterOf } from './meters.ts';
import {
  beating,
  collecting,
  expiring,
  filling,
  finalAnswers,
  lane,
  type LaneKind,
  publishing,
  reading,
  rebuilding,
  redrivenAll,
  relayed,
  restoring,
  wholeWorker,
} from './roles.ts';
import { type Gate, SimProcess } from './scheduler.ts';
import {
  behind,
  BUCKETS,
  END,
  EPOCH_MS,
  EVENT_TYPE,
  FORMATS,
  FUTURE_MS,
  KEPT_MS,
  PLACES,
  SPREAD_KEYS,
  SPREAD_TENANT,
  TENANTS,
  UNIT_MS,
} from './sizes.ts';
import { type Climate, hashOf, type SimLineage, World } from './world.ts';

/** What one step may do, and how often in this schedule. */
interface Action {
  readonly weight: number;
  readonly run: (s: Schedule) => void | Promise<void>;
}

/** Choices by name, so that a schedule with steps left out makes the others as before. */
export type Choices = Map<number, (string | undefined)[]>;

export interface ScheduleOptions {
  readonly kept?: ReadonlySet<number>;
  readonly choices?: Choices;
  readonly trace?: (line: string) => void;
}

const MOST_PROCESSES = 10;

export class Schedule {
  readonly world: World;
  readonly made: Choices = new Map();
  readonly #seed: number;
  readonly #actions: readonly [Action, ...Action[]];
  readonly #roles: readonly [RoleChoice, ...RoleChoice[]];
  readonly #replay: Choices | undefined;
  readonly #rebuilds: number;
  readonly trace: ((line: string) => void) | undefined;

  constructor(seed: number, { choices, trace }: ScheduleOptions = {}) {
    this.#seed = seed;
    const random = randomOf(seed, -1);
    // By a seed of its own: schedules of installations that keep all keys stay as they were.
    const keyRetentionMs = pick(randomOf(seed, -2), [0, 0, KEPT_MS]);
    this.world = new World(random, { ...climateOf(random), keyRetentionMs });
    this.world.scheduler.trace = trace;
    this.trace = trace;
    // Retention that passes readers, too.
    const retention = pick(randomOf(seed, -4), [0, 0, 0.8]);
    // Rebuilds, too.
    this.#rebuilds = pick(randomOf(seed, -3), [0, 0, 0, 12]);
    // A database that is put back; gaps and rebuilds that are put back, too, are not told apart by the oracle.
    const restores = retention > 0 || this.#rebuilds > 0 ? 0 : pick(randomOf(seed, -5), [0, 0.5, 1]);
    this.#actions = actionsOf(random, retention, restores);
    this.#roles = [
      ...rolesOf(random),
      heartRole(restores * 4),
      expiryRole(keyRetentionMs === 0 ? 0 : 15),
      rebuildRole(this.#rebuilds),
    ];
    this.#replay = choices && new Map([...choices].map(([n, names]) => [n, [...names]]));
  }

  /** A choice among things with names; a replay looks the name up, and does nothing where it is gone. */
  decide<T>(list: readonly T[], nameOf: (item: T) => string, all: readonly T[] = list): T | undefined {
    const { world } = this;
    const random = list[world.below(list.length)];
    if (this.#replay !== undefined) {
      const name = this.#replay.get(world.step)?.shift();
      return all.find((item) => nameOf(item) === name);
    }
    const made = this.made.get(world.step) ?? [];
    this.made.set(world.step, made);
    made.push(random === undefined ? undefined : nameOf(random));
    return random;
  }

  async run(steps: number, kept?: ReadonlySet<number>): Promise<void> {
    const { world } = this;
    for (let n = 0; n < steps && world.failure === undefined; n += 1) {
      if (kept !== undefined && !kept.has(n)) continue;
      world.random = randomOf(this.#seed, n);
      world.step = n;
      if (world.isNoticed) await this.restored();
      await weighted(world.random, this.#actions).run(this);
    }
    world.random = randomOf(this.#seed, steps);
    if (world.failure === undefined) await this.quiesce();
  }

  // --- processes -----------------------------------------------------------------------------------------------------

  async advance(): Promise<void> {
    const { scheduler } = this.world;
    const process = this.decide(scheduler.runnable(this.world.step), ({ id }) => String(id));
    const gate =
      process &&
      this.decide(
        process.parked.filter((g) => g.ready()),
        ({ label, kind }) => `${label} ${kind}`,
      );
    if (process === undefined || gate === undefined) return;
    await scheduler.resume(process, gate, pick(this.world.random, [0, 0, 1, 3, 8, 20, 50, 100]));
  }

  async spawn(): Promise<void> {
    const { world } = this;
    if (world.scheduler.processes.length >= MOST_PROCESSES) return;
    const { name, run } = weighted(world.random, this.#roles);
    const process = new SimProcess(world.step, `${name}@${world.step}`);
    const body = run(this, process);
    if (body === undefined) return;
    this.trace?.(`start ${process.name}`);
    await world.scheduler.start(process, body);
  }

  kill(): void {
    const { world } = this;
    const process = this.decide(world.scheduler.processes, ({ id }) => String(id));
    if (process === undefined) return;
    this.trace?.(`kill ${process.name} at ${process.parked.map(({ label }) => label).join(', ')}`);
    world.scheduler.kill(process, () => world.chance(world.climate.arrives));
    world.tally.add('fault: process killed');
  }

  pause(): void {
    const { world } = this;
    const process = this.decide(world.scheduler.processes, ({ id }) => String(id));
    if (process === undefined) return;
    process.pausedUntil = world.step + 20 + world.below(150);
    this.trace?.(`pause ${process.name}`);
    world.tally.add('fault: process paused (zombie)');
  }

  stop(): void {
    const process = this.decide(this.world.scheduler.processes, ({ id }) => String(id));
    if (process === undefined) return;
    this.trace?.(`stop ${process.name}`);
    process.stop.abort();
    this.world.tally.add('fault: process asked to stop');
  }

  async orphan(): Promise<void> {
    const { scheduler } = this.world;
    const orphan = this.decide(scheduler.orphans, ({ label }) => label);
    if (orphan !== undefined) await scheduler.deliver(orphan);
  }

  // --- the log -------------------------------------------------------------------------------------------------------

  /** A producer sends a new event, or one again; a foreign partitioner or a late writer may put it into a wrong lineage. */
  produce(): void {
    const { world } = this;
    if (world.chance(world.climate.garbage)) {
      this.#append(
        this.decide(world.open, ({ id }) => id),
        { key: 'x', value: Buffer.from([1, 2, 3, world.step & 255]) },
      );
      return;
    }
    const fact = this.#fact();
    const lineage = fact && this.#place(fact);
    if (fact === undefined || lineage === undefined) return;
    const value = encoded(fact, world.chance(0.1));
    world.facts.set(hashOf(value), fact);
    this.#append(lineage, { key: world.chance(0.05) ? null : world.routeOf(fact), value, fact });
    if (!world.chance(world.climate.errors * 3)) return;
    world.tally.add('fault: acknowledgement lost, sent again');
    this.#append(world.homeOf(world.routeOf(fact)), { key: world.routeOf(fact), value, fact });
  }

  #append(lineage: SimLineage | undefined, message: Parameters<World['append']>[1]): void {
    if (lineage === undefined) return;
    const { position, lineage: id } = this.world.append(lineage, message);
    this.trace?.(`append ${message.fact?.tenant ?? 'garbage'} ${message.fact?.key ?? ''} to ${id} at ${Number(position)}`);
  }

  #fact(): Fact | undefined {
    const { world } = this;
    const sent = [...world.oracle.sent.values()];
    if (sent.length === 0 || !world.chance(world.climate.resend)) return this.#fresh();
    // Perhaps long after, with the same time.
    const fact = this.decide(world.chance(0.5) ? sent : sent.slice(-6), ({ key }) => key, sent);
    if (fact === undefined) return undefined;
    world.tally.add('fault: duplicate sent');
    if (world.oracle.ageOf(fact, world.now) > 0) world.tally.add('fault: old duplicate sent (an epoch or more)');
    if (!world.chance(world.climate.conflict)) return fact;
    world.tally.add('fault: same key, other content');
    return { ...fact, quantity: fact.quantity + 10n ** 12n };
  }

  #fresh(): Fact {
    const { world } = this;
    const tenant = pick(world.random, [...TENANTS.keys()] as [string, ...string[]]);
    const grain = world.climate.grain * UNIT_MS;
    const ms = Math.max(0, world.now + UNIT_MS * pick(world.random, [0, 0, 0, -1, -2, -5, -9, -20, 1, 2, 9]));
    const timestamp = Math.floor(ms / grain) * grain * 1000;
    const key = `k${world.step}`;
    const quantity = BigInt(1 + world.below(100_000)) * 10n ** 12n;
    return { tenant, key, timestamp, quantity, digest: keyDigest(tenant, key), k: spreadOf(tenant, key) };
  }

  #place(fact: Fact): SimLineage | undefined {
    const { world } = this;
    const closed = world.lineages.filter((l) => l.closed);
    if (world.chance(world.climate.foreign)) return this.decide(world.open, ({ id }) => id);
    if (closed.length > 0 && world.chance(world.climate.late)) return this.decide(closed, ({ id }) => id);
    return world.homeOf(world.routeOf(fact));
  }

  reshard(): void {
    const { world } = this;
    const open = world.open.sort((a, b) => a.chronicle.lo - b.chronicle.lo);
    const one = this.decide(open, ({ id }) => id);
    if (one === undefined) return;
    const two = open[open.indexOf(one) + 1];
    if (two !== undefined && world.chance(0.5)) world.merge(one, two);
    else world.split(one, one.chronicle.lo + 1 + world.below(one.chronicle.hi - one.chronicle.lo - 1));
    this.trace?.(`reshard at ${one.id}`);
  }

  /** A producer of control records may die half way: one lineage has it, another not. */
  format(): void {
    const { world } = this;
    const lineage = this.decide(world.open, ({ id }) => id);
    if (lineage === undefined) return;
    const format = pick(world.random, [...FORMATS.keys()] as [number, ...number[]]);
    world.append(lineage, { key: null, value: new Uint8Array(), control: { type: 'format', format } });
    this.trace?.(`format ${format} in ${lineage.id}`);
    world.tally.add('fault: archive format changed');
  }

  /** The meters file is edited: one meter sums up in another way, or is gone. Whoever announces it may die half way. */
  version(): void {
    const { world } = this;
    if (world.rules.length > MOST_VERSIONS) return;
    const { newestRules: newest } = world;
    const current = newest.meters.meters.filter((meter) => newest.current?.has(meterId(meter)));
    const meter = this.decide(current, meterId);
    if (meter === undefined) return;
    const last = Math.max(...world.rules.flatMap(({ meters }) => versionsOf(meters.meters, meter.key)));
    const others = current.filter((other) => other !== meter);
    const isGone = others.length > 3 && world.chance(0.2);
    if (!world.declare({ meters: isGone ? others : [...others, meterOf(meter.key, last + 1)] })) return;
    this.trace?.(`rules ${world.newestRules.version}: ${world.newestRules.meters.meters.map(meterId).join()}`);
    world.tally.add('fault: meters changed');
    const share = pick(world.random, [0.3, 1, 1]);
    for (const lineage of world.takers) if (world.chance(share)) world.announce(lineage);
  }

  /** Whoever starts announces the newest version again; one that starts late, or was paused, an older one. */
  announce(): void {
    const { world } = this;
    const lineage = this.decide(world.takers, ({ id }) => id);
    if (lineage === undefined || world.rules.length < 2) return;
    world.announce(lineage, world.chance(0.3) ? 1 + world.below(world.rules.length) : world.newestRules.version);
    this.trace?.(`rules announced in ${lineage.id}`);
  }

  /** A hot tenant is spread ahead of time: no event of that time can be in the log before every lineage knows. */
  spread(): void {
    const { world } = this;
    if (world.oracle.spreadFrom !== undefined) return;
    const from = (world.now + FUTURE_MS + UNIT_MS) * 1000;
    if (!world.declare({ spread: new Map([[SPREAD_TENANT, [{ from, keys: SPREAD_KEYS }]]]) })) return;
    world.oracle.spreadFrom = from;
    world.oracle.spreadRules = world.newestRules.version;
    for (const lineage of world.takers) world.announce(lineage);
    this.trace?.(`rules ${world.newestRules.version}: ${SPREAD_TENANT} is spread from ${from / 1000 / UNIT_MS}`);
    world.tally.add('fault: tenant spread');
  }

  /** Mostly it passes what nobody has sealed yet. */
  retention(): void {
    const { world } = this;
    const lineage = this.decide(world.lineages, ({ id }) => id);
    const head = world.heads.get(lineage?.id ?? '')?.start ?? '';
    const unsealed = (lineage?.records ?? []).filter(({ position }) => position >= head || !world.chance(0.8));
    const last = unsealed[world.below(unsealed.length)];
    if (lineage === undefined || last === undefined) return;
    this.trace?.(`retention lets go of ${lineage.id} up to ${Number(last.position)}`);
    world.trim(lineage, behind(last.position));
  }

  acknowledge(): void {
    const gap = this.decide(this.world.gaps, ({ lineage, from }) => `${lineage} ${from}`);
    if (gap === undefined) return;
    gap.acknowledged ??= { at: this.world.now, note: '' };
    this.world.tally.add('event: gap acknowledged');
  }

  failover(): void {
    const { world } = this;
    const bucket = world.below(BUCKETS);
    const held = world.replicas[bucket]?.length ?? 0;
    if (held === 0) return;
    const at = world.chance(0.5) ? world.below(held) : Math.max(0, held - 1 - world.below(3));
    this.trace?.(`failover of bucket ${bucket}: the last ${held - at} writes are lost`);
    world.failover(bucket, at);
  }

  backUp(): void {
    this.trace?.('backup');
    this.world.backUp();
  }

  /** Everything is stopped for it. Sometimes nobody says so: who starts then has to notice, or is right all the same. */
  async putBack(): Promise<void> {
    const { world } = this;
    this.#killAll();
    if (!world.putBack()) return;
    this.trace?.('database put back');
    if (world.chance(0.5)) await this.restored();
  }

  #killAll(): void {
    const { scheduler, climate } = this.world;
    for (const process of [...scheduler.processes]) scheduler.kill(process, () => this.world.chance(climate.arrives));
  }

  /** Again until it is done. */
  async restored(): Promise<void> {
    const { world } = this;
    this.#killAll();
    for (let n = 0; n < 50 && world.isPutBack; n += 1) {
      const process = await this.finish('restored', (own) => restoring(world, own));
      if (process.state === 'alive') world.scheduler.kill(process, () => false);
    }
    if (world.isPutBack) world.fail('restored: it does not end');
    this.trace?.('restored');
  }

  wipe(): void {
    const bucket = this.world.below(BUCKETS);
    this.trace?.(`bucket ${bucket} is wiped`);
    this.world.wipe(bucket);
  }

  tick(): void {
    this.trace?.('ticks');
    this.world.tick();
  }

  time(): void {
    this.world.now += UNIT_MS * (1 + this.world.below(3));
    this.trace?.(`clock ${this.world.now / UNIT_MS}`);
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  /** Runs a body to its end, or until it only waits. */
  async finish(name: string, body: (process: SimProcess) => Promise<unknown>): Promise<SimProcess> {
    const { scheduler } = this.world;
    const process = new SimProcess(-1, name);
    await scheduler.start(process, () => body(process));
    for (let n = 0; n < 50 && process.state === 'alive'; n += 1) {
      const gate = process.parked.find((g) => g.ready());
      if (gate === undefined) break;
      await scheduler.resume(process, gate, Infinity);
    }
    return process;
  }

  /** Faults end; everybody works until nothing moves; ticks close the segments of idle lineages; then the collector. */
  async quiesce(): Promise<void> {
    const { world } = this;
    const { scheduler } = world;
    this.trace?.('--- faults end');
    scheduler.trace = undefined;
    for (const orphan of [...scheduler.orphans]) await scheduler.deliver(orphan);
    for (const process of [...scheduler.processes]) scheduler.kill(process, () => false);
    scheduler.orphans = [];
    if (world.isPutBack) await this.restored();
    scheduler.quiet = true;
    for (const lineage of world.takers) world.announce(lineage);
    const worker = await this.finish('worker', (process) => wholeWorker(world, process));
    for (let n = 0; n < 4 && world.failure === undefined; n += 1) {
      world.now += 11 * UNIT_MS;
      if (world.climate.keyRetentionMs > 0) await this.#forgetAndResend();
      world.tick();
      await this.#settle(worker);
    }
    if (world.failure === undefined) await this.#checkEnd();
    if (world.failure === undefined && this.#rebuilds > 0) await this.#rebuildAtRest();
    await this.finish('collector', (process) => collecting(world, process, 2));
    if (world.failure === undefined) await this.#checkEnd();
    if (world.failure === undefined) this.#checkEpochs();
    worker.stop.abort();
    await this.#wake(worker);
  }

  /** Copies of events whose keys may be gone, and of others. */
  async #forgetAndResend(): Promise<void> {
    const { world } = this;
    await this.finish('expiry', (process) => expiring(world, process));
    for (const fact of world.oracle.sent.values()) {
      if (!world.chance(0.2)) continue;
      const value = encoded(fact, false);
      world.facts.set(hashOf(value), fact);
      world.append(world.homeOf(world.routeOf(fact)), { key: world.routeOf(fact), value, fact });
    }
  }

  /** The last checks read what it made. */
  async #rebuildAtRest(): Promise<void> {
    const process = await this.finish('rebuild', (one) => rebuilding(this.world, one));
    if (process.state !== 'done')
      this.world.fail(`liveness: the last rebuild waits at ${process.parked.map((g) => g.label).join()}`);
  }

  async #wake(process: SimProcess): Promise<void> {
    for (const gate of [...process.parked]) {
      if (gate.ready()) await this.world.scheduler.resume(process, gate, Infinity);
    }
  }

  async #settle(worker: SimProcess): Promise<void> {
    const { world } = this;
    for (let round = 0, before = ''; round < 40 && before !== this.#state(); round += 1) {
      before = this.#state();
      await this.finish('relay', (process) => relayed(world, process));
      await this.#wake(worker);
      await this.finish('publisher', (process) => publishing(world, process));
      await this.finish('backfill', (process) => filling(world, process));
      // One that stands still may wait for its next try.
      for (let n = 0; n < 3; n += 1) await this.#wake(worker);
    }
  }

  #state(): string {
    const { world } = this;
    const buckets = Array.from({ length: BUCKETS }, (_, b) =>
      [...world.store.image(b).fences].map(([l, f]) => [l, f.position]),
    );
    const { cuts } = world.database.newest;
    const log = world.lineages.map((l) => l.records.length);
    const { filled, serving } = world.database.committed;
    return JSON.stringify([
      [...filled],
      [...serving],
      log,
      buckets,
      [...cuts],
      world.outbox.length,
      [...world.heads.values()],
    ]);
  }

  /** Invariant 8. */
  async #checkEnd(): Promise<void> {
    const { world } = this;
    const { cuts } = world.database.newest;
    const images = Array.from({ length: BUCKETS }, (_, b) => world.store.image(b));
    for (const l of world.lineages) {
      const cut = cuts.get(l.id);
      if (l.closed ? cut?.position !== END : (cut?.segments ?? 0) !== l.chronicle.finished)
        world.fail(`liveness: the cut of ${l.id} stands at ${cut?.segments}, sealable ${l.chronicle.finished}`);
      images.forEach(({ fences }, b) => {
        const fence = fences.get(l.id)?.position ?? '';
        if (cut?.position !== END && fence < (l.closed ? END : l.chronicle.endOfLog))
          world.fail(`liveness: the fence of ${l.id} in bucket ${b} stands at ${fence}, log end ${l.chronicle.endOfLog}`);
      });
    }
    if (world.outbox.length > 0) world.fail('liveness: misrouted records did not come home');
    world.oracle.nothingForgotten();
    for (let b = 0; b < BUCKETS; b += 1) world.checkBucket(b);
    this.#checkRejects();
    this.#checkRedriven();
    const reader = await this.finish('reader', (process) => finalAnswers(world, process));
    if (reader.state !== 'done')
      world.fail(`liveness: the last reader waits at ${reader.parked.map((g: Gate) => g.label).join()}`);
  }

  #checkRejects(): void {
    const { world } = this;
    const wanted = [...world.oracle.rejects()].map((entry) => entry.join(' ')).sort();
    const all = [...world.rejects.values(), ...world.database.committed.rejects.values()];
    const seen = all.map(({ lineage, position, code }) => `${lineage} ${position} ${code}`).sort();
    if (seen.join() !== wanted.join()) world.fail(`rejects: [${seen.join()}], the log gives [${wanted.join()}]`);
    world.tally.add('check: rejects at the end');
  }

  /** What was redriven is in the log once more, whatever died in between. */
  #checkRedriven(): void {
    const { world } = this;
    const places = new Map<string, string[]>();
    for (const { id, records } of world.lineages)
      for (const { position, value } of records)
        places.set(hashOf(value), [...(places.get(hashOf(value)) ?? []), `${id} ${position}`]);
    for (const place of world.redriven) {
      const value = world.rejects.get(place)?.value;
      const copies = value === undefined ? [] : (places.get(hashOf(value)) ?? []);
      if (!copies.some((other) => other !== place)) world.fail(`liveness: redriven ${place} did not come home`);
      world.tally.add('check: redriven record came home');
    }
  }

  #checkEpochs(): void {
    const { world } = this;
    if (world.oracle.isUnsealed) return;
    world.tally.add('check: two epochs at the end (8)');
    for (let b = 0; b < BUCKETS; b += 1) {
      const epochs = [...world.store.image(b).digests.keys()];
      if (epochs.length > 2) world.fail(`liveness: bucket ${b} keeps epochs ${epochs.join()} for ever`);
    }
  }
}

/** A foreign writer sends JSON. */
const encoded = (f: Fact, json: boolean): Uint8Array =>
  json
    ? Buffer.from(
        JSON.stringify({
          tenant_id: f.tenant,
          event_type: EVENT_TYPE,
          quantity: String(f.quantity / 10n ** 12n),
          idempotency_key: f.key,
          event_timestamp: formatTime(f.timestamp),
        }),
      )
    : encodeEvent({ ...f, type: EVENT_TYPE, subject: null, properties: '{}' });

function climateOf(random: Random): Omit<Climate, 'keyRetentionMs'> {
  return {
    errors: pick(random, [0, 0.002, 0.01, 0.03]),
    arrives: pick(random, [0, 0.5]),
    resend: pick(random, [0.2, 0.4, 0.7]),
    conflict: pick(random, [0, 0.1]),
    garbage: pick(random, [0, 0.05]),
    foreign: 0.08,
    late: 0.06,
    gaps: pick(random, [0, 0, 0.2]),
    lagging: 0.2,
    grain: pick(random, [1, 4, 8]),
  };
}

const actionsOf = (random: Random, retention: number, restores: number): readonly [Action, ...Action[]] => [
  { weight: 60, run: (s) => s.advance() },
  { weight: 20, run: (s) => s.spawn() },
  { weight: pick(random, [8, 16]), run: (s) => s.produce() },
  { weight: pick(random, [2, 5, 9]), run: (s) => s.time() },
  { weight: pick(random, [1, 2]), run: (s) => s.tick() },
  { weight: pick(random, [0, 1, 3]), run: (s) => s.reshard() },
  { weight: pick(random, [0, 1]), run: (s) => s.format() },
  { weight: pick(random, [0, 0.5, 2]), run: (s) => s.version() },
  { weight: pick(random, [0.5, 1.5]), run: (s) => s.announce() },
  { weight: pick(random, [0, 0.3]), run: (s) => s.spread() },
  { weight: pick(random, [1, 4]), run: (s) => s.kill() },
  { weight: pick(random, [0, 1, 3]), run: (s) => s.pause() },
  { weight: pick(random, [0, 0.5]), run: (s) => s.stop() },
  { weight: pick(random, [0, 2, 6]), run: (s) => s.failover() },
  { weight: pick(random, [0, 0.7, 2]), run: (s) => s.wipe() },
  { weight: 3, run: (s) => s.orphan() },
  { weight: retention, run: (s) => s.retention() },
  { weight: retention / 4, run: (s) => s.acknowledge() },
  { weight: restores, run: (s) => s.backUp() },
  { weight: restores, run: (s) => s.putBack() },
];

const MOST_VERSIONS = 5;
const versionsOf = (meters: readonly Meter[], key: string): number[] =>
  meters.filter((meter) => meter.key === key).map(({ version }) => version);

/** Which of its tenant's routing keys an event has where the tenant is spread. */
function spreadOf(tenant: string, key: string): number {
  const route = routingKeyOf({ tenant, key, timestamp: 1 }, new Map([[tenant, [{ from: 0, keys: SPREAD_KEYS }]]]));
  return Number(route.split('#')[1]);
}

interface RoleChoice {
  readonly name: string;
  readonly weight: number;
  readonly run: (s: Schedule, process: SimProcess) => (() => Promise<unknown>) | undefined;
}

const heartRole = (weight: number): RoleChoice => ({
  name: 'heart',
  weight,
  run:
    ({ world }, process) =>
    () =>
      beating(world, process),
});

const expiryRole = (weight: number): RoleChoice => ({
  name: 'expiry',
  weight,
  run:
    ({ world }, process) =>
    () =>
      expiring(world, process),
});

const rebuildRole = (weight: number): RoleChoice => ({
  name: 'rebuild',
  weight,
  run:
    ({ world }, process) =>
    () =>
      rebuilding(world, process),
});

/** Mostly where there is something to do. */
function busyLineage(s: Schedule): SimLineage | undefined {
  const { world } = s;
  const isBehind = (l: SimLineage): boolean => {
    const head = world.heads.get(l.id);
    return head?.ended !== true || (l.closed && world.database.newest.cuts.get(l.id)?.position !== END);
  };
  const busy = world.lineages.filter(isBehind);
  return s.decide(busy.length > 0 && world.chance(0.8) ? busy : world.lineages, ({ id }) => id, world.lineages);
}

const laneRole = (kind: LaneKind, weight: number): RoleChoice => ({
  name: kind,
  weight,
  run: (s, process) => {
    const lineage = busyLineage(s);
    return lineage && (() => lane(s.world, process, lineage, kind));
  },
});

const rolesOf = (random: Random): readonly [RoleChoice, ...RoleChoice[]] => [
  laneRole('metering', 26),
  laneRole('archiving', pick(random, [4, 16])),
  laneRole('counting', pick(random, [4, 16])),
  { name: 'worker', weight: 3, run: (s, process) => () => wholeWorker(s.world, process) },
  { name: 'publisher', weight: 18, run: (s, process) => () => publishing(s.world, process) },
  { name: 'backfill', weight: pick(random, [6, 18]), run: (s, process) => () => filling(s.world, process) },
  { name: 'relay', weight: 6, run: (s, process) => () => relayed(s.world, process) },
  { name: 'redrive', weight: 4, run: (s, process) => () => redrivenAll(s.world, process) },
  { name: 'collector', weight: pick(random, [5, 14, 30]), run: (s, process) => () => collecting(s.world, process, 3) },
  { name: 'reader', weight: pick(random, [10, 20]), run: (s, process) => () => reading(s.world, process, 3) },
];

for (const [tenant, { bucket }] of PLACES)
  if (bucketOf(tenant, BUCKETS) !== bucket) throw new Error(`${tenant} is not in bucket ${bucket}`);
if (EPOCH_MS % UNIT_MS !== 0) throw new Error('an epoch is made of whole units');

export interface Outcome {
  readonly failure: string | undefined;
  readonly counts: ReadonlyMap<string, number>;
  readonly choices: Choices;
}

/** Runs one schedule. */
export async function runSchedule(seed: number, steps: number, options: ScheduleOptions = {}): Promise<Outcome> {
  const schedule = new Schedule(seed, options);
  const { world } = schedule;
  try {
    await schedule.run(steps, options.kept);
  } catch (error) {
    world.fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  return { failure: world.failure, counts: world.tally.counts, choices: schedule.made };
}
