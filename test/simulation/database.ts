/**
 * The batch view as PostgreSQL would hold it under READ COMMITTED: each statement sees what was committed when it began
 * and its own transaction's writes; row locks and uncommitted inserts are waited for; a cycle of waits ends one of them.
 */
import type {
  ArchivedEvent,
  BatchSnapshot,
  Cut,
  Extent,
  FlipTransaction,
  HourUsage,
  KeyRow,
  Position,
  PublishTransaction,
  Reject,
  RollupQuery,
} from '../../src/contract.ts';
import { type Cell, cellId, EMPTY, mergeAccumulators } from '../../src/domain/cell.ts';
import { windowOf } from '../../src/domain/answer.ts';
import { MeterError } from '../../src/errors.ts';
import type { SimProcess } from './scheduler.ts';
import type { World } from './world.ts';

interface Partial_ {
  readonly lineage: string;
  readonly segment: number;
  readonly cell: Cell;
}
interface HourPartial {
  readonly lineage: string;
  readonly segment: number;
  readonly hour: HourUsage;
}
interface StoredKey extends KeyRow {
  /** Microseconds. */
  readonly timestamp: number;
}
const emptyTables = () => ({
  keys: new Map<string, StoredKey>(),
  partials: new Map<string, Partial_>(),
  hourPartials: new Map<string, HourPartial>(),
  rollups: new Map<string, Cell>(),
  hours: new Map<string, HourUsage>(),
  /** `lineage#segment` -> positions */
  copies: new Map<string, ReadonlySet<Position>>(),
  cuts: new Map<string, Cut>(),
  rejects: new Map<string, Reject>(),
  /** `meter|lineage` -> segments */
  filled: new Map<string, number>(),
  serving: new Map<string, true>(),
});
export type Tables = ReturnType<typeof emptyTables>;

/** Rows are replaced, never changed. */
export const copyTables = (tables: Tables): Tables =>
  Object.fromEntries(Object.entries(tables).map(([name, rows]) => [name, new Map<string, unknown>(rows)])) as Tables;

export interface Committed {
  readonly rollups: ReadonlyMap<string, Cell>;
  readonly cuts: ReadonlyMap<string, Cut>;
  readonly serving: ReadonlySet<string>;
}

export const keyOf = (k: { readonly tenant: string; readonly key: string }): string => `${k.tenant}\0${k.key}`;
const hourId = (h: HourUsage): string => `${h.tenant}|${h.eventType}|${h.hour}`;

/** `meter|lineage` -> segments, by meter. */
export function filledOf(rows: ReadonlyMap<string, number>): Map<string, Map<string, number>> {
  const all = new Map<string, Map<string, number>>();
  for (const [id, segments] of rows) {
    const [meter = '', lineage = ''] = id.split('|');
    all.set(meter, (all.get(meter) ?? new Map<string, number>()).set(lineage, segments));
  }
  return all;
}

const extentOf = ({ cuts, filled, serving }: Tables): Extent => ({
  cuts: new Map(cuts),
  filled: filledOf(filled),
  serving: new Set(serving.keys()),
});

export class Transaction {
  readonly writes: Tables = emptyTables();
  /** The tables that its first statement met: a flip may put others in their place. */
  tables: Tables | undefined;
  waitsFor: Transaction | undefined;
  isOver = false;
}

/** Cuts and rollups of one moment, rolled up to the windows of a query. */
export function snapshotOf({ rollups, cuts }: Committed, query: RollupQuery): BatchSnapshot {
  const cells = new Map<string, Cell>();
  for (const cell of rollups.values()) {
    if (query.tenant !== undefined && cell.tenant !== query.tenant) continue;
    if (query.meter !== undefined && cell.meter !== query.meter) continue;
    const window = windowOf(query.edges, cell.minute);
    if (window < 0) continue;
    const id = `${window} ${cell.meter} ${cell.group}`;
    const sum = mergeAccumulators(cells.get(id) ?? EMPTY, cell);
    cells.set(id, { ...cell, ...sum, tenant: query.tenant ?? '', minute: query.edges[window] ?? 0 });
  }
  return { cuts, cells: [...cells.values()] };
}

export class Database {
  committed: Tables = emptyTables();
  /** What every commit left, for cut-independence. */
  readonly snapshots: Committed[] = [{ rollups: new Map(), cuts: new Map(), serving: new Set() }];
  readonly #world: World;
  readonly #locks = new Map<string, Transaction>();
  readonly #open = new Set<Transaction>();
  /** Holds all tables alone. */
  #alone: Transaction | undefined;
  /** Flipped or dropped: nothing can be done with it any more. */
  isGone = false;

  constructor(world: World) {
    this.#world = world;
  }

  /** An earlier state takes the place of this one: nobody is connected. */
  putBack(tables: Tables): void {
    this.committed = tables;
    this.#committed();
  }

  demandThere(what: string): void {
    if (this.isGone) throw new MeterError('DATABASE_UNAVAILABLE', `${what}: the rebuild is gone`);
  }

  get newest(): Committed {
    return this.snapshots.at(-1)!;
  }

  holders(keys: readonly { readonly tenant: string; readonly key: string }[], own?: Transaction): KeyRow[] {
    const { keys: there } = own?.tables ?? this.committed;
    return keys.flatMap((key) => own?.writes.keys.get(keyOf(key)) ?? there.get(keyOf(key)) ?? []);
  }

  /** A transaction of its own. */
  forgetKeys(before: number, limit: number): number {
    const old = [...this.committed.keys].filter(([, { timestamp }]) => timestamp < before * 1000).slice(0, limit);
    for (const [id] of old) this.committed.keys.delete(id);
    if (old.length > 0) this.#world.tally.add('event: old keys forgotten', old.length);
    return old.length;
  }

  transaction<T>(process: SimProcess, work: (tx: PublishTransaction) => Promise<T>): Promise<T> {
    return this.#within(
      process,
      (tx) => work(this.#statements(process, tx)),
      (tx) => this.#commit(tx),
    );
  }

  /** Swaps what another database holds for what this one does. */
  flip<T>(process: SimProcess, rebuilt: Database, work: (tx: FlipTransaction) => Promise<T>): Promise<T> {
    let isSwapped = false;
    const statements = (tx: Transaction): FlipTransaction => ({
      lock: () => this.#lockAll(process, tx, 'lock tables'),
      extents: () =>
        this.#statement(process, tx, 'extents', () => {
          rebuilt.demandThere('extents');
          return { live: extentOf(this.committed), rebuilt: extentOf(rebuilt.committed) };
        }),
      swap: async () => {
        // Tables that are dropped are locked, too.
        await this.#lockAll(process, tx, 'drop tables');
        rebuilt.demandThere('swap');
        isSwapped = true;
      },
    });
    return this.#within(
      process,
      (tx) => work(statements(tx)),
      (tx) => {
        if (isSwapped) this.#swap(rebuilt);
        this.#release(tx);
      },
    );
  }

  #swap(rebuilt: Database): void {
    rebuilt.isGone = true;
    this.committed = rebuilt.committed;
    this.#world.rebuilt = undefined;
    this.#world.tally.add('event: batch view flipped');
    this.#committed();
  }

  async #lockAll(process: SimProcess, tx: Transaction, label: string): Promise<void> {
    const isFree = (): boolean =>
      (this.#alone === undefined || this.#alone === tx) && [...this.#open].every((other) => other === tx);
    for (let tries = 0; !isFree(); tries += 1) {
      this.#world.tally.add('event: flip waited for publishes');
      await this.#world.scheduler.gate(process, label, 'lock', isFree);
    }
    this.#alone = tx;
    await this.#statement(process, tx, label, () => undefined);
  }

  async #within<T>(
    process: SimProcess,
    work: (tx: Transaction) => Promise<T>,
    commit: (tx: Transaction) => void,
  ): Promise<T> {
    const world = this.#world;
    const { scheduler } = world;
    const tx = new Transaction();
    const close = (): void => this.#rollback(tx);
    process.onDeath.add(close);
    try {
      await scheduler.gate(process, 'BEGIN', 'reply');
      const result = await work(tx);
      await scheduler.gate(process, 'COMMIT', 'call');
      this.#maybeLost('COMMIT');
      if (tx.isOver) throw new MeterError('DATABASE_UNAVAILABLE', 'COMMIT: the connection was closed');
      commit(tx);
      await scheduler.gate(process, 'COMMIT', 'reply');
      this.#maybeLost('COMMIT (done)');
      return result;
    } finally {
      close();
      process.onDeath.delete(close);
    }
  }

  #maybeLost(what: string): void {
    const world = this.#world;
    if (world.quiet || !world.chance(world.climate.errors)) return;
    const kind = what.endsWith('(done)') ? 'after a call took effect (lost reply)' : 'before a call took effect';
    world.tally.add(`fault: error ${kind}`);
    throw new MeterError('DATABASE_UNAVAILABLE', `${what}: connection lost`);
  }

  async #statement<T>(process: SimProcess, tx: Transaction, label: string, run: () => T | Promise<T>): Promise<T> {
    const { scheduler } = this.#world;
    const isAllowed = (): boolean => this.#alone === undefined || this.#alone === tx;
    await scheduler.gate(process, label, 'call');
    this.#maybeLost(label);
    while (!isAllowed()) await scheduler.gate(process, `${label}: tables locked`, 'lock', isAllowed);
    if (tx.isOver) throw new MeterError('DATABASE_UNAVAILABLE', `${label}: no transaction`);
    this.demandThere(label);
    tx.tables ??= this.committed;
    this.#open.add(tx);
    const result = await run();
    await scheduler.gate(process, label, 'reply');
    return result;
  }

  #statements(process: SimProcess, tx: Transaction): PublishTransaction {
    const statement = <T>(label: string, run: () => T | Promise<T>): Promise<T> => this.#statement(process, tx, label, run);
    const { writes } = tx;
    const tables = (): Tables => tx.tables ?? this.committed;
    return {
      insertEvents: (lineage, events) => statement('insert events', () => this.#insert(process, tx, lineage, events)),
      holders: (keys) => statement('holders', () => this.holders(keys, tx)),
      writePartials: (lineage, segment, cells, hours) =>
        statement('write partials', () => {
          for (const cell of cells) writes.partials.set(`${lineage}#${segment}|${cellId(cell)}`, { lineage, segment, cell });
          for (const hour of hours)
            writes.hourPartials.set(`${lineage}#${segment}|${hourId(hour)}`, { lineage, segment, hour });
        }),
      writeCopies: (lineage, segment, positions) =>
        statement('write copies', () => void writes.copies.set(`${lineage}#${segment}`, new Set(positions))),
      copies: (lineage, segment) => statement('read copies', () => tables().copies.get(`${lineage}#${segment}`)),
      lockRollups: (cells, hours) => statement('lock rollups', () => this.#lockRollups(process, tx, cells, hours)),
      recomputeRollups: (cells, hours) => statement('recompute', () => this.#recompute(process, tx, cells, hours)),
      writeRejects: (rejects) =>
        statement('write rejects', () => {
          for (const reject of rejects) writes.rejects.set(`${reject.lineage} ${reject.position}`, reject);
        }),
      raiseFilled: (meter, lineage, segments) =>
        statement('raise filled', async () => {
          const id = `${meter}|${lineage}`;
          await this.#lock(process, tx, `filled ${id}`);
          if ((tables().filled.get(id) ?? 0) < segments) writes.filled.set(id, segments);
          this.#world.tally.add('event: segment filled into a meter version');
        }),
      raiseCut: (lineage, cut) =>
        statement('raise cut', async () => {
          await this.#lock(process, tx, `cut ${lineage}`);
          const { segments = 0, gaps = 0 } = tables().cuts.get(lineage) ?? {};
          if (segments < cut.segments) writes.cuts.set(lineage, { ...cut, gaps: Math.max(gaps, cut.gaps ?? 0) });
        }),
    };
  }

  async #insert(
    process: SimProcess,
    tx: Transaction,
    lineage: string,
    events: readonly ArchivedEvent[],
  ): Promise<ReadonlySet<Position>> {
    const inserted = new Set<Position>();
    const { keys } = tx.tables ?? this.committed;
    // The statement sorts by key, as the contract says.
    for (const { event, position, content } of [...events].sort((a, b) => (keyOf(a.event) < keyOf(b.event) ? -1 : 1))) {
      const id = keyOf(event);
      if (keys.has(id) || tx.writes.keys.has(id)) continue;
      await this.#lock(process, tx, `key ${id}`);
      if (keys.has(id)) continue;
      tx.writes.keys.set(id, {
        ...{ tenant: event.tenant, key: event.key },
        lineage,
        position,
        content,
        timestamp: event.timestamp,
      });
      inserted.add(position);
    }
    return inserted;
  }

  async #lockRollups(
    process: SimProcess,
    tx: Transaction,
    cells: readonly Cell[],
    hours: readonly HourUsage[],
  ): Promise<void> {
    const tables = tx.tables ?? this.committed;
    for (const cell of cells) {
      const id = cellId(cell);
      await this.#lock(process, tx, `rollup ${id}`);
      if (!tables.rollups.has(id)) tx.writes.rollups.set(id, { ...cell, ...EMPTY });
      await this.#world.scheduler.gate(process, 'one more row locked', 'reply');
    }
    for (const hour of hours) {
      const id = hourId(hour);
      await this.#lock(process, tx, `hour ${id}`);
      if (!tables.hours.has(id)) tx.writes.hours.set(id, { ...hour, total: 0n, count: 0 });
    }
  }

  /** The statement's snapshot is taken first; a row that is locked is waited for, and then set to what the snapshot gave. */
  async #recompute(
    process: SimProcess,
    tx: Transaction,
    cells: readonly Cell[],
    hours: readonly HourUsage[],
  ): Promise<void> {
    const tables = tx.tables ?? this.committed;
    const partials = new Map([...tables.partials, ...tx.writes.partials]);
    const hourPartials = new Map([...tables.hourPartials, ...tx.writes.hourPartials]);
    for (const key of cells) {
      const id = cellId(key);
      let sum = EMPTY;
      for (const { cell } of partials.values()) if (cellId(cell) === id) sum = mergeAccumulators(sum, cell);
      await this.#lock(process, tx, `rollup ${id}`);
      if (tables.rollups.has(id) || tx.writes.rollups.has(id)) tx.writes.rollups.set(id, { ...key, ...sum });
    }
    for (const key of hours) {
      const id = hourId(key);
      const same = [...hourPartials.values()].filter(({ hour }) => hourId(hour) === id);
      await this.#lock(process, tx, `hour ${id}`);
      if (!tables.hours.has(id) && !tx.writes.hours.has(id)) continue;
      const total = same.reduce((sum, { hour }) => sum + hour.total, 0n);
      tx.writes.hours.set(id, { ...key, total, count: same.reduce((sum, { hour }) => sum + hour.count, 0) });
    }
  }

  async #lock(process: SimProcess, tx: Transaction, id: string): Promise<void> {
    for (;;) {
      const holder = this.#locks.get(id);
      if (holder === undefined || holder === tx) break;
      tx.waitsFor = holder;
      this.#world.tally.add('event: lock waited for');
      for (let other: Transaction | undefined = holder; other !== undefined; other = other.waitsFor) {
        if (other !== tx) continue;
        // Publishers lock in one order, so that they never wait in a circle.
        this.#world.fail(`publish: deadlock at ${id}`);
        throw new MeterError('DATABASE_UNAVAILABLE', `deadlock detected at ${id}`);
      }
      await this.#world.scheduler.gate(process, `lock ${id}`, 'lock', () => !this.#locks.has(id));
    }
    tx.waitsFor = undefined;
    this.#locks.set(id, tx);
  }

  #commit(tx: Transaction): void {
    // Into the tables that it met, though a flip may have put others in their place.
    const committed = tx.tables ?? this.committed;
    for (const name of Object.keys(committed) as (keyof Tables)[]) {
      const into: Map<string, unknown> = committed[name];
      // Partials and copies under keys that are there stay as they are (ON CONFLICT DO NOTHING).
      const stays = name === 'copies' || name.endsWith('artials');
      for (const [id, row] of tx.writes[name]) if (!stays || !into.has(id)) into.set(id, row);
    }
    this.#release(tx);
    if (committed === this.committed && !this.isGone) this.#committed();
  }

  #committed(): void {
    const { committed } = this;
    this.#snap();
    const hours = new Map([...committed.hours].flatMap(([id, { total, count }]) => (count > 0 ? [[id, total]] : [])));
    const isLive = this === this.#world.database;
    this.#world.oracle.committed(committed.cuts, committed.rollups.values(), hours, committed.filled, isLive);
    this.#world.tally.add('check: rollups at a commit (4)');
  }

  async serve(process: SimProcess, meter: string): Promise<void> {
    const isAllowed = (): boolean => this.#alone === undefined;
    while (!isAllowed()) await this.#world.scheduler.gate(process, `serve ${meter}: tables locked`, 'lock', isAllowed);
    this.demandThere('serve');
    this.serves(meter);
  }

  serves(meter: string): void {
    this.committed.serving.set(meter, true);
    this.#snap();
  }

  #snap(): void {
    const { rollups, cuts, serving } = this.committed;
    this.snapshots.push({ rollups: new Map(rollups), cuts: new Map(cuts), serving: new Set(serving.keys()) });
  }

  #rollback(tx: Transaction): void {
    if (tx.isOver) return;
    this.#world.tally.add('fault: transaction rolled back');
    this.#release(tx);
  }

  #release(tx: Transaction): void {
    tx.isOver = true;
    this.#open.delete(tx);
    if (this.#alone === tx) this.#alone = undefined;
    for (const [id, holder] of this.#locks) if (holder === tx) this.#locks.delete(id);
  }
}
