/**
 * Written schedules, for mutants whose failure needs too many coincidences for random ones. The real modules must survive
 * each of them. They follow those of the protocol's model, with a child lineage where src is stricter than the model.
 */
import { encodeEvent } from '../../../src/domain/avro.ts';
import { keyDigest } from '../../../src/domain/canonical.ts';
import type { Bucket } from '../../../src/sinks/memory/bucket.ts';
import type { Meter } from '../../../src/domain/meter.ts';
import type { Fact } from '../oracle.ts';
import { meterOf } from '../meters.ts';
import { portsOf } from '../ports.ts';
import { answering, collecting, filling, lane, type LaneKind, publishing, rebuilding } from '../roles.ts';
import { type Gate, SimProcess } from '../scheduler.ts';
import { BUCKETS, EVENT_TYPE, UNIT_MS } from '../sizes.ts';
import { type Climate, hashOf, type SimLineage, World } from '../world.ts';

const CALM: Climate = {
  errors: 0,
  arrives: 0,
  resend: 0,
  conflict: 0,
  garbage: 0,
  foreign: 0,
  late: 0,
  gaps: 0,
  lagging: 0,
  grain: 1,
  keyRetentionMs: 0,
};

type Until = (gate: Gate) => boolean;
const sleeps: Until = (gate) => gate.kind === 'sleep';
const at =
  (label: string, kind?: Gate['kind']): Until =>
  (gate) =>
    gate.label.startsWith(label) && (kind === undefined || gate.kind === kind);

/** A world whose every step is written down. */
class Stage {
  readonly world = new World(() => 0, CALM);

  constructor() {
    // Batches of four, no gap, clocks a little behind.
    this.world.random = () => 0.99;
  }

  get l0(): SimLineage {
    return this.world.lineage('l0');
  }
  get l1(): SimLineage {
    return this.world.lineage('l1');
  }

  fact(tenant: string, key: string, units = this.world.now / UNIT_MS): Fact {
    const quantity = 7n * 10n ** 12n;
    return { tenant, key, timestamp: units * UNIT_MS * 1000, quantity, digest: keyDigest(tenant, key), k: 0 };
  }

  send(fact: Fact, copies = 1): void {
    const value = encodeEvent({ ...fact, type: EVENT_TYPE, subject: null, properties: '{}' });
    this.world.facts.set(hashOf(value), fact);
    for (let n = 0; n < copies; n += 1) this.world.append(this.world.homeOf(fact.tenant), { key: fact.tenant, value, fact });
  }

  /** The child's broker has a clock like the others. */
  split(lineage: SimLineage, middle: number): void {
    this.world.random = () => 0;
    this.world.split(lineage, middle);
    this.world.random = () => 0.99;
  }

  clock(units: number): void {
    this.world.now = units * UNIT_MS;
  }

  async start(name: string, body: (process: SimProcess) => Promise<unknown>): Promise<SimProcess> {
    const process = new SimProcess(-1, name);
    await this.world.scheduler.start(process, () => body(process));
    return process;
  }

  lane(lineage: SimLineage, kind: LaneKind): Promise<SimProcess> {
    return this.start(`${kind} ${lineage.id}`, (process) => lane(this.world, process, lineage, kind));
  }

  publisher(): Promise<SimProcess> {
    return this.start('publisher', (process) => publishing(this.world, process));
  }

  /** Gate by gate, until one that is waited for, or until nothing moves. */
  async run(process: SimProcess, until: Until = () => false): Promise<void> {
    for (let n = 0; n < 500 && process.state === 'alive'; n += 1) {
      if (process.parked.some(until)) return;
      const gate = process.parked.find((g) => g.ready());
      if (gate === undefined) return;
      await this.world.scheduler.resume(process, gate, 0);
    }
  }

  kill(process: SimProcess): void {
    this.world.scheduler.kill(process, () => false);
  }

  /** A lane of its own runs to the log's end and dies. */
  async through(lineage: SimLineage, kind: LaneKind): Promise<void> {
    const process = await this.lane(lineage, kind);
    await this.run(process);
    this.kill(process);
  }

  async sealAndPublish(lineage: SimLineage): Promise<void> {
    await this.through(lineage, 'archiving');
    await this.run(await this.publisher());
  }

  /** Changes the meters, and every lineage knows. */
  declare(meters: readonly Meter[]): void {
    this.world.declare({ meters });
    for (const lineage of this.world.takers) this.world.announce(lineage);
  }

  async collect(): Promise<void> {
    await this.run(await this.start('collector', (process) => collecting(this.world, process, 2)));
  }

  /** Fails bucket 1 over to the newest image that fits. */
  undo(fits: (image: Bucket) => boolean): void {
    const found = this.world.replicas[1]?.findLastIndex(fits) ?? -1;
    if (found >= 0) this.world.failover(1, found);
  }

  /** A looks X' up before X is published; a failover loses X, B advances past it; then A applies X'. */
  async failoverAroundLookUp(lineage: SimLineage, x: Fact): Promise<void> {
    const a = await this.lane(lineage, 'counting');
    await this.run(a);
    this.send(x);
    await this.run(a, at('holders'));
    await this.sealAndPublish(lineage);
    const isBefore = (image: Bucket): boolean =>
      image.fences.get(lineage.id)?.position === lineage.origin && ![...image.digests.values()].some((d) => d.has(x.digest));
    this.undo(isBefore);
    const b = await this.lane(lineage, 'counting');
    await this.run(b, at(`read ${lineage.id}`));
    await this.run(a, sleeps);
    await this.run(b);
  }
}

/** Ivy lives in l1, ada in l0; both in bucket 1. */
const SCRIPTS: Readonly<Record<string, (s: Stage) => Promise<void>>> = {
  'parents-checked-outside': async (s) => {
    const { world, l1 } = s;
    s.send(s.fact('ivy', 'x'));
    s.split(l1, 4);
    const child = world.homeOf('ivy');
    s.send(s.fact('ivy', 'x'));
    await s.through(l1, 'counting');
    // A child has no head before its parent's is ended.
    await s.through(l1, 'archiving');
    const b = await s.lane(child, 'counting');
    await s.run(b, at('look 1 l1'));
    await s.run(b, at('cuts'));
    // The parents were at END, and looked so again as ancestors.
    world.wipe(1);
    await s.run(b);
    await s.through(l1, 'counting');
  },
  'oldest-after-loss-by-age-only': async (s) => {
    const { l0, l1 } = s;
    const x = s.fact('ivy', 'x');
    s.send(x, 3);
    s.clock(100);
    s.send(s.fact('ada', 'a'), 3);
    await s.sealAndPublish(l0);
    await s.failoverAroundLookUp(l1, x);
  },
  'no-newer-epochs-needed': async (s) => {
    const { world, l0, l1 } = s;
    s.clock(101);
    s.send(s.fact('ada', 'a'), 3);
    for (const units of [106, 107]) {
      s.clock(units);
      world.tick();
    }
    for (const lineage of [l0, l1]) await s.through(lineage, 'metering');
    await s.run(await s.publisher());
    await s.collect();
    s.split(l1, 4);
    await s.through(l1, 'metering');
    await s.run(await s.publisher());
    // The child's broker is behind by less than an epoch.
    s.clock(104);
    const x = s.fact('ivy', 'x');
    s.send(x, 3);
    await s.failoverAroundLookUp(world.homeOf('ivy'), x);
  },
  'dropped-version-answers': async (s) => {
    const { world, l0, l1 } = s;
    const before = world.newestRules.meters.meters;
    const [first] = before.filter(({ key }) => key === 'calls');
    if (first === undefined) throw new Error('no meter calls');
    const others = before.filter(({ key }) => key !== 'calls');
    const reader = await s.start('reader', async (process) => {
      const ports = portsOf(world, process);
      await ports.clock.sleep(0);
      await answering(world, ports, first, 'ada');
    });
    await s.run(reader, sleeps);
    s.declare([...others, meterOf('calls', 2)]);
    for (const lineage of [l0, l1]) await s.sealAndPublish(lineage);
    await s.run(await s.start('backfill', (process) => filling(world, process)));
    s.declare([...others.slice(1), meterOf('calls', 2)]);
    s.send(s.fact('ada', 'a'));
    for (const lineage of [l0, l1]) await s.through(lineage, 'counting');
    await s.run(reader);
  },
  'publish-before-parents': async (s) => {
    const { world, l1 } = s;
    const x = s.fact('ivy', 'x');
    s.send(x, 3);
    s.split(l1, 4);
    const child = world.homeOf('ivy');
    s.send(x, 3);
    // It finds nothing sealed in the parent; by the time that it comes to the child, both are.
    const publisher = await s.publisher();
    await s.run(publisher, at('manifest l1'));
    await s.through(l1, 'archiving');
    await s.through(child, 'archiving');
    await s.run(publisher);
    await s.run(await s.publisher());
  },
  'flip-loses-a-filling': async (s) => {
    const { world, l0 } = s;
    for (const key of ['a', 'b']) {
      s.send(s.fact('ada', key), 3);
      await s.sealAndPublish(l0);
    }
    const flipping = await s.start('rebuild', (process) => rebuilding(world, process));
    await s.run(flipping, at('compare'));
    // A version begins; its back-fill has the first segment when the view is flipped, and goes on with the second.
    const others = world.newestRules.meters.meters.filter(({ key }) => key !== 'calls');
    world.declare({ meters: [...others, meterOf('calls', 2)] });
    const backfill = await s.start('backfill', (process) => filling(world, process));
    await s.run(backfill, at('get segments/l0/00000000000000000003'));
    await s.run(flipping);
    await s.run(backfill);
  },
  'rebuild-of-the-newest-versions-alone': async (s) => {
    const { world, l0, l1 } = s;
    const others = world.newestRules.meters.meters.filter(({ key }) => key !== 'calls');
    s.send(s.fact('ada', 'a'), 3);
    s.declare([...others, meterOf('calls', 2)]);
    for (const lineage of [l0, l1]) await s.sealAndPublish(lineage);
    await s.run(await s.start('backfill', (process) => filling(world, process)));
    // The first version is measured no more; a reader that has not heard asks for it still.
    s.declare([...others.slice(1), meterOf('calls', 2)]);
    for (const lineage of [l0, l1]) await s.sealAndPublish(lineage);
    await s.run(await s.start('rebuild', (process) => rebuilding(world, process)));
    if (!world.tally.counts.has('check: rebuild flipped')) world.fail('rebuild: it lacks a version that answers, for ever');
  },
  'one-name-for-every-cut': async (s) => {
    const { l1, world } = s;
    // B has read one record, A two, when retention passes both of them.
    s.send(s.fact('ivy', 'one'));
    const b = await s.lane(l1, 'archiving');
    await s.run(b);
    s.send(s.fact('ivy', 'two'));
    const a = await s.lane(l1, 'archiving');
    await s.run(a);
    s.send(s.fact('ivy', 'three'));
    world.trim(l1, '00000000000000000003');
    await s.run(a, at('seal l1#0', 'call'));
    s.kill(a);
    await s.run(b);
    s.kill(b);
    await s.sealAndPublish(l1);
    if (world.gaps[0]?.from !== '00000000000000000001') world.fail('gap: B did not record what it found');
  },
  'read-from-before-a-gap': async (s) => {
    const { l1, world } = s;
    const [calls] = world.newestRules.meters.meters.filter(({ key }) => key === 'calls');
    if (calls === undefined) throw new Error('no meter calls');
    // Live, the fourth and fifth are in segment 1. Behind the gap it begins with the third.
    for (const key of ['one', 'two', 'three', 'four', 'five']) s.send(s.fact('ivy', key));
    await s.through(l1, 'counting');
    world.trim(l1, '00000000000000000002');
    await s.through(l1, 'archiving');
    const publisher = await s.publisher();
    await s.run(publisher, at('get segments/l1/00000000000000000002'));
    s.kill(publisher);
    await s.run(await s.start('reader', (process) => answering(world, portsOf(world, process), calls, 'ivy')));
  },
  'rows-locked-in-any-order': async (s) => {
    const { l1 } = s;
    const [one, two] = [s.fact('ivy', 'one'), s.fact('cyd', 'two')];
    for (const fact of [one, two, two]) s.send(fact);
    for (const fact of [s.fact('cyd', 'three'), s.fact('ivy', 'four'), one]) s.send(fact);
    await s.through(l1, 'archiving');
    const late = await s.publisher();
    await s.run(late, at('manifest l1'));
    const ahead = await s.publisher();
    await s.run(ahead, at('get segments/l1/00000000000000000003'));
    await s.run(ahead, at('one more row locked'));
    await s.run(late, (gate) => gate.kind === 'lock');
    await s.run(ahead);
    await s.run(late);
  },
};

/** Answers what failed. Throws for a name without a script. */
export async function runScript(name: string, trace?: (line: string) => void): Promise<string | undefined> {
  const script = SCRIPTS[name];
  if (script === undefined) throw new Error(`no written schedule ${name}`);
  const stage = new Stage();
  stage.world.scheduler.trace = trace;
  await script(stage);
  for (let b = 0; b < BUCKETS; b += 1) stage.world.checkBucket(b);
  return stage.world.failure;
}

export const SCRIPT_NAMES = Object.keys(SCRIPTS);
