/** One process's view of the world: every call parks, may fail, and may lose its reply. */
import type {
  Archive,
  BatchView,
  Beats,
  Catalog,
  Facts,
  Producer,
  Reader,
  Rejects,
  RuleSets,
  Source,
  SpeedStore,
  Tables,
  Written,
} from '../../src/contract.ts';
import { type FailureCode, MeterError } from '../../src/errors.ts';
import type { Ports } from '../../src/topology.ts';
import { silentFacts } from '../support/silent-facts.ts';
import { type Database, filledOf, snapshotOf } from './database.ts';
import { BUCKETS, behind, END, FIRST_FORMAT, printed } from './sizes.ts';
import type { SimProcess } from './scheduler.ts';
import { hashOf, type SimLineage, type World } from './world.ts';

/** How a process calls. Reads park once, behind their effect; writes also before it. */
export interface Wire {
  read<T>(label: string, code: FailureCode, effect: () => T | Promise<T>): Promise<T>;
  write<T>(label: string, code: FailureCode, effect: () => T | Promise<T>): Promise<T>;
}

export function wireOf(world: World, process: SimProcess): Wire {
  const fails = (): boolean => !world.quiet && world.chance(world.climate.errors);
  const down = (code: FailureCode, label: string, when: string): never => {
    world.tally.add(`fault: error ${when}`);
    throw new MeterError(code, `${label}: down`);
  };
  const { scheduler } = world;
  return {
    read: async (label, code, effect) => {
      const value = await effect();
      await scheduler.gate(process, label, 'reply');
      if (fails()) down(code, label, 'before a call took effect');
      return value;
    },
    write: async (label, code, effect) => {
      await scheduler.gate(process, label, 'call');
      if (process.state === 'dead') world.tally.add('fault: request of a dead process arrived');
      else if (fails()) down(code, label, 'before a call took effect');
      const value = await effect();
      await scheduler.gate(process, label, 'reply');
      if (fails()) down(code, label, 'after a call took effect (lost reply)');
      return value;
    },
  };
}

// --- the log ---------------------------------------------------------------------------------------------------------

function readerOf(world: World, process: SimProcess, { read }: Wire, lineage: SimLineage, from: string): Reader {
  let at = from;
  // A node that is behind the others still holds what they have let go of.
  const isTrimmed = lineage.first > printed(0);
  const held = isTrimmed && world.chance(world.climate.lagging) ? from : undefined;
  const firstOf = (): string => held ?? lineage.first;
  const hasMore = (): boolean => lineage.closed || at < firstOf() || lineage.records.some(({ position }) => position >= at);
  const take = () => {
    if (at < firstOf()) throw new MeterError('LOG_TRIMMED', `read ${lineage.id} at ${at}: it begins at ${firstOf()}`);
    const first = lineage.records.findIndex(({ position }) => position >= at);
    const start = first < 0 ? lineage.records.length : first;
    // A replay may cut the same records differently.
    const records = lineage.records.slice(start, start + (world.quiet ? 50 : 1 + world.below(4)));
    const following = lineage.records[start + records.length];
    const last = records.at(-1);
    let next = last === undefined ? at : behind(last.position);
    // Offsets without records may be read over, or not yet.
    if (world.chance(0.5)) next = following?.position ?? (lineage.closed ? END : next);
    else if (lineage.closed && last === undefined) next = END;
    return { lineage: lineage.id, from: at, next, records };
  };
  return {
    next: async (stop) => {
      while (!stop.aborted && !hasMore())
        await world.scheduler.gate(process, `log ${lineage.id}`, 'idle', () => stop.aborted || hasMore());
      if (stop.aborted) return undefined;
      const batch = await read(`read ${lineage.id}`, 'LOG_UNAVAILABLE', take);
      at = batch.next;
      return batch;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function logOf(world: World, process: SimProcess, wire: Wire): Source & Producer {
  const append = (routingKey: string, value: Uint8Array): Written | Error => {
    const lost = !world.quiet && world.chance(world.climate.errors * 3);
    const error = new MeterError('LOG_UNAVAILABLE', 'append: no acknowledgement');
    if (lost && world.chance(0.5)) return error;
    const fact = world.facts.get(hashOf(value));
    // A producer may hold an old map of partitions: what it writes behind an END comes home by another round.
    const closed = world.lineages.filter((l) => l.closed && l.owns(routingKey));
    const old = !world.quiet && world.chance(world.climate.late) ? closed[world.below(closed.length)] : undefined;
    const written = world.append(old ?? world.homeOf(routingKey), { key: routingKey, value, fact });
    world.tally.add('event: misrouted record relayed');
    return lost ? error : written;
  };
  return {
    name: 'simulated log',
    lineages: () => wire.read('lineages', 'LOG_UNAVAILABLE', () => [...world.lineages]),
    open: (lineage, from) => readerOf(world, process, wire, world.lineage(lineage), from),
    after: behind,
    places: (from, to) => Number(to) - Number(from),
    bounds: (id) =>
      wire.read('bounds', 'LOG_UNAVAILABLE', () => {
        const lineage = world.lineage(id);
        return { first: lineage.first, end: lineage.closed ? END : lineage.chronicle.endOfLog };
      }),
    trim: () => Promise.reject(new Error('this log is never trimmed')),
    append: (records) =>
      wire.write('append', 'LOG_UNAVAILABLE', () => records.map(({ routingKey, value }) => append(routingKey, value))),
    control: (control) =>
      wire.write('control', 'LOG_UNAVAILABLE', () => {
        for (const l of world.lineages) if (!l.closed) world.append(l, { key: null, value: new Uint8Array(), control });
      }),
  };
}

// --- archive and catalog ---------------------------------------------------------------------------------------------

function archiveOf(world: World, { read, write }: Wire): Archive {
  return {
    name: 'simulated archive',
    put: (key, bytes) =>
      write(`put ${key}`, 'ARCHIVE_UNAVAILABLE', () => {
        if (world.oracle.put(key, hashOf(bytes))) world.tally.add('check: object bytes repeated (6)');
        if (world.objects.has(key)) {
          world.tally.add('event: object was there already');
          return 'exists';
        }
        world.objects.set(key, bytes);
        return 'stored';
      }),
    get: (key) =>
      read(`get ${key}`, 'ARCHIVE_UNAVAILABLE', () => {
        const bytes = world.objects.get(key);
        if (bytes === undefined) throw new MeterError('ARCHIVE_MISSING', `get ${key}: no such object`);
        return bytes;
      }),
    async *list(prefix) {
      const keys = await read('list', 'ARCHIVE_UNAVAILABLE', () => [...world.objects.keys()].sort());
      yield* keys.filter((key) => key.startsWith(prefix));
    },
  };
}

function catalogOf(world: World, { read, write }: Wire): Catalog {
  const rows = (lineage: string) => world.manifest.get(lineage) ?? [];
  const code = 'DATABASE_UNAVAILABLE';
  return {
    head: (lineage) =>
      read(`head ${lineage.id}`, code, () => {
        const isReady = lineage.parents.every((parent) => world.heads.get(parent)?.ended === true);
        if (!isReady && !world.heads.has(lineage.id)) return undefined;
        const fresh = {
          lineage: lineage.id,
          segment: 0,
          start: lineage.origin,
          format: FIRST_FORMAT,
          rules: Math.max(1, ...lineage.parents.map((parent) => world.heads.get(parent)?.rules ?? 1)),
          arrival: 0,
          ended: false,
        };
        const head = world.heads.get(lineage.id) ?? fresh;
        world.heads.set(lineage.id, head);
        return head;
      }),
    heads: () => read('heads', code, () => [...world.heads.values()]),
    manifest: (lineage, from, limit) => read(`manifest ${lineage}`, code, () => rows(lineage).slice(from, from + limit)),
    rowOf: (lineage, position) => read(`row of ${lineage}`, code, () => rows(lineage).find(({ end }) => end > position)),
    segmentsBefore: (arrival) =>
      read('segments before', code, () => {
        const found = [...world.heads.keys()].map((lineage) => {
          const last = rows(lineage).findLast(({ firstOk }) => firstOk !== null && firstOk < arrival);
          return [lineage, last === undefined ? 0 : last.segment + 1] as const;
        });
        return new Map(found.filter(([, segments]) => segments > 0));
      }),
    seal: (row, next, rejects, misrouted) =>
      write(`seal ${row.lineage}#${row.segment}`, code, () => {
        const head = world.heads.get(row.lineage);
        if (head === undefined || head.ended || head.segment !== row.segment || head.start !== row.start) {
          world.tally.add('event: head lost to another sealer');
          return 'lost';
        }
        world.oracle.sealed(row.lineage, row, { rules: next.rules, first: world.lineage(row.lineage).first });
        world.tally.add('check: segment against the log');
        if (row.gap !== undefined) {
          world.tally.add('event: gap on record');
          if (row.object !== null) world.tally.add('event: segment cut short by a gap');
          const { lineage, segment, end: to, endArrival } = row;
          world.gaps.push({ ...row.gap, lineage, segment, to, arrival: endArrival, acknowledged: null });
        }
        world.manifest.set(row.lineage, [...rows(row.lineage), row]);
        world.heads.set(row.lineage, next);
        for (const reject of rejects) world.rejects.set(`${reject.lineage} ${reject.position}`, reject);
        world.outbox.push(...misrouted.map((record) => ({ ...record, id: world.unique() })));
        return 'sealed';
      }),
    end: (head) =>
      write(`end ${head.lineage}`, code, () => {
        const now = world.heads.get(head.lineage);
        if (now?.start === head.start) world.heads.set(head.lineage, { ...now, ended: true });
      }),
    outbox: (limit) => read('outbox', code, () => world.outbox.slice(0, limit)),
    gaps: () => read('gaps', code, () => world.gaps.map((gap) => ({ ...gap }))),
    acknowledge: ({ lineage, from }, by) =>
      write('acknowledge', code, () => {
        const found = world.gaps.find((gap) => gap.lineage === lineage && gap.from === from);
        if (found !== undefined) found.acknowledged ??= by;
        return found !== undefined;
      }),
    settle: (ids) =>
      write('settle', code, () => {
        world.outbox = world.outbox.filter(({ id }) => !ids.includes(id));
      }),
  };
}

/** The mark and the outbox row in one step: a process that dies has done both, or neither. */
function rejectsOf(world: World, { read, write }: Wire): Rejects {
  const code = 'DATABASE_UNAVAILABLE';
  const idOf = ({ lineage, position }: { readonly lineage: string; readonly position: string }) => `${lineage} ${position}`;
  return {
    waiting: (_, { limit }) =>
      read('waiting rejects', code, () => ({
        rejects: [...world.rejects.values()].filter((reject) => !world.redriven.has(idOf(reject))).slice(0, limit),
        next: undefined,
      })),
    conflicts: () => read('conflicts', code, () => world.database.committed.rejects.size),
    redrive: (homeward) =>
      write('redrive', code, () => {
        const done = new Map<string, number>();
        for (const one of homeward) {
          const value = world.rejects.get(idOf(one))?.value;
          if (value === undefined || world.redriven.has(idOf(one))) continue;
          world.redriven.add(idOf(one));
          world.outbox.push({ routingKey: one.routingKey, value, id: world.unique() });
          world.tally.add('event: reject redriven');
          done.set(one.code, (done.get(one.code) ?? 0) + 1);
        }
        return done;
      }),
  };
}

// --- speed layer and batch view --------------------------------------------------------------------------------------

function speedOf(world: World, { read, write }: Wire): SpeedStore {
  const { store, tally } = world;
  const code = 'SPEED_UNAVAILABLE';
  return {
    name: 'simulated speed store',
    look: (bucket, lineage) => read(`look ${bucket} ${lineage}`, code, () => store.look(bucket, lineage)),
    apply: (request) =>
      write(`apply ${request.bucket} ${request.lineage} to ${request.to}`, code, async () => {
        const { bucket, lineage, records } = request;
        const fence = (await store.look(bucket, lineage)).fence;
        world.replicate(bucket);
        const reply = await store.apply(request);
        world.scheduler.trace?.(
          `    ${JSON.stringify({ ...request, records: records.map((r) => [r.position, r.segment, r.epoch]), reply })}`,
        );
        if (!reply.ok) tally.add('event: apply refused');
        else if (records.some(({ position }) => position < (fence ?? ''))) tally.add('event: record cropped at the fence');
        return reply;
      }),
    advance: (request) =>
      write(`advance ${request.bucket} ${request.lineage}`, code, async () => {
        world.replicate(request.bucket);
        const reply = await store.advance(request);
        if (!reply.ok) tally.add('event: advance refused');
        else if (request.fence !== undefined) tally.add('event: bucket healed by advance');
        return reply;
      }),
    collect: (bucket, lineage, cut) =>
      write(`collect ${bucket} ${lineage} ${cut}`, code, () => {
        world.replicate(bucket);
        tally.add('event: cells collected');
        return store.collect(bucket, lineage, cut);
      }),
    epochs: (bucket) => read(`epochs ${bucket}`, code, () => store.epochs(bucket)),
    dropEpoch: (bucket, epoch, needed) =>
      write(`drop ${bucket} ${epoch}`, code, async () => {
        world.replicate(bucket);
        const dropped = await store.dropEpoch(bucket, epoch, needed);
        if (dropped) tally.add('event: epoch of digests dropped');
        return dropped;
      }),
    forget: (bucket, incarnation) =>
      write(`forget ${bucket}`, code, () => {
        world.replicate(bucket);
        tally.add('event: bucket of before a gap forgotten');
        return store.forget(bucket, incarnation);
      }),
    read: (buckets, select) => readBuckets(world, read, buckets, select),
    database: world.state.incarnation,
    told: (beat = 0) => write('told', code, () => (world.told = Math.max(world.told, beat))),
    check: () => read('check', code, () => store.check()),
  };
}

function beatsOf(world: World, { read, write }: Wire): Beats {
  const code = 'DATABASE_UNAVAILABLE';
  return {
    last: () => read('last beat', code, () => world.state),
    next: () => write('next beat', code, () => (world.state = { ...world.state, beat: world.state.beat + 1 })),
    renew: (incarnation, told) => write('renew', code, () => world.renew(incarnation, told)),
  };
}

/** Bucket after bucket: each at one moment, not all at the same. */
async function readBuckets(
  world: World,
  read: Wire['read'],
  buckets: readonly number[],
  select: Parameters<SpeedStore['read']>[1],
): ReturnType<SpeedStore['read']> {
  const states = [];
  for (const bucket of buckets) {
    const [state] = await read(`read bucket ${bucket}`, 'SPEED_UNAVAILABLE', () => {
      world.checkBucket(bucket);
      return world.store.read([bucket], select);
    });
    if (state !== undefined) states.push(state);
  }
  return states;
}

/** What one process knows of the rules: as of its start, or its last look. */
function rulesOf(world: World, { read }: Wire): RuleSets {
  let known = [...world.rules];
  let serving: ReadonlySet<string> = new Set(world.database.committed.serving.keys());
  const look = () =>
    read('look at the rules', 'DATABASE_UNAVAILABLE', () => {
      known = [...world.rules];
      serving = new Set(world.database.committed.serving.keys());
    });
  const find = (version: number) => known.find((set) => set.version === version);
  return {
    get newest() {
      return known.at(-1)!;
    },
    get serving() {
      return serving;
    },
    get: (version) => {
      const found = find(version);
      if (found === undefined) throw new RangeError(`rule set ${version} was not demanded`);
      return found;
    },
    refresh: look,
    demand: async (version) => {
      if (find(version) === undefined) await look();
    },
  };
}

export function batchOn(database: Database, world: World, process: SimProcess, { read, write }: Wire): BatchView {
  const { tally } = world;
  const code = 'DATABASE_UNAVAILABLE';
  const there = <T>(label: string, effect: () => T): Promise<T> =>
    read(label, code, () => {
      database.demandThere(label);
      return effect();
    });
  return {
    name: 'simulated batch view',
    transaction: (work) => database.transaction(process, work),
    prepare: () => there('prepare', () => undefined),
    cuts: () => there('cuts', () => new Map(database.committed.cuts)),
    filled: () => there('filled', () => filledOf(database.committed.filled)),
    serving: () => there('serving', () => new Set(database.committed.serving.keys())),
    serve: (meter) => write(`serve ${meter}`, code, () => database.serve(process, meter)),
    snapshot: (query) =>
      there('snapshot', () => ({ ...snapshotOf(database.newest, query), incarnation: world.state.incarnation })),
    holders: (keys) =>
      there('holders', () => {
        const rows = database.holders(keys);
        if (rows.length > 0) tally.add('event: look-up found a duplicate');
        return rows;
      }),
  };
}

const refused = (): Promise<never> => Promise.reject(new Error('these tables are kept for ever'));
const keptForEver: Tables = {
  emptyEvents: refused,
  forgetKeys: refused,
  forgetHours: refused,
  dropUsageMonth: refused,
  oldestUsageMonth: refused,
};

const forgetKeysOf =
  ({ database }: World, { write }: Wire): Tables['forgetKeys'] =>
  (before, limit) =>
    write('forget keys', 'DATABASE_UNAVAILABLE', () => database.forgetKeys(before, limit));

function factsOf(): Facts {
  return silentFacts();
}

export function portsOf(world: World, process: SimProcess): Ports {
  const wire = wireOf(world, process);
  return {
    log: logOf(world, process, wire),
    speed: speedOf(world, wire),
    beats: beatsOf(world, wire),
    archive: archiveOf(world, wire),
    catalog: catalogOf(world, wire),
    rejects: rejectsOf(world, wire),
    batch: batchOn(world.database, world, process, wire),
    tables: { ...keptForEver, forgetKeys: forgetKeysOf(world, wire) },
    ruleSets: rulesOf(world, wire),
    clock: {
      now: () => world.now,
      sleep: (_, signal) => (signal?.aborted === true ? Promise.resolve() : world.scheduler.gate(process, 'sleep', 'sleep')),
    },
    facts: factsOf(),
    random: () => 0.5,
    unique: () => world.unique(),
  };
}

export const ALL_BUCKETS = Array.from({ length: BUCKETS }, (_, bucket) => bucket);
