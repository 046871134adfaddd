/**
 * The batch view as PostgreSQL would hold it under READ COMMITTED: each statement sees what was committed when it began
 * and its own transaction's writes; row locks and uncommitted inserts are waited for; a cycle of waits ends one of them.
 */
import type {
  ArchivedEvent,
  BatchSnapshot,
  Cut,
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
type Tables = ReturnType<typeof emptyTables>;

export interface Committed {
  readonly rollups: ReadonlyMap<string, Cell>;
  readonly cuts: ReadonlyMap<string, Cut>;
  readonly serving: ReadonlySet<string>;
}

export const keyOf = (k: { readonly tenant: string; readonly key: string }): string => `${k.tenant}\0${k.key}`;
const hourId = (h: HourUsage): string => `${h.tenant}|${h.eventType}|${h.hour}`;

export class Transaction {
  readonly writes: Tables = emptyTables();
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
  readonly committed: Tables = emptyTables();
  /** What every commit left, for cut-independence. */
  readonly snapshots: Committed[] = [{ rollups: new Map(), cuts: new Map(), serving: new Set() }];
  readonly #world: World;
  readonly #locks = new Map<string, Transaction>();

  constructor(world: World) {
    this.#world = world;
  }

  get newest(): Committed {
    return this.snapshots.at(-1)!;
  }

  holders(keys: readonly { readonly tenant: string; readonly key: string }[], own?: Transaction): KeyRow[] {
    return keys.flatMap((key) => own?.writes.keys.get(keyOf(key)) ?? this.committed.keys.get(keyOf(key)) ?? []);
  }

  /** A transaction of its own. */
  forgetKeys(before: number, limit: number): number {
    const old = [...this.committed.keys].filter(([, { timestamp }]) => timestamp < before * 1000).slice(0, limit);
    for (const [id] of old) this.committed.keys.delete(id);
    if (old.length > 0) this.#world.tally.add('event: old keys forgotten', old.length);
    return old.length;
  }

  async transaction<T>(process: SimProcess, work: (tx: PublishTransaction) => Promise<T>): Promise<T> {
    const world = this.#world;
    const { scheduler } = world;
    const tx = new Transaction();
    const close = (): void => this.#rollback(tx);
    process.onDeath.add(close);
    try {
      await scheduler.gate(process, 'BEGIN', 'reply');
      const result = await work(this.#statements(process, tx));
      await scheduler.gate(process, 'COMMIT', 'call');
      this.#maybeLost('COMMIT');
      this.#commit(tx);
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

  #statements(process: SimProcess, tx: Transaction): PublishTransaction {
    const statement = async <T>(label: string, run: () => T | Promise<T>): Promise<T> => {
      await this.#world.scheduler.gate(process, label, 'call');
      this.#maybeLost(label);
      if (tx.isOver) throw new MeterError('DATABASE_UNAVAILABLE', `${label}: no transaction`);
      const result = await run();
      await this.#world.scheduler.gate(process, label, 'reply');
      return result;
    };
    const { writes } = tx;
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
      copies: (lineage, segment) => statement('read copies', () => this.committed.copies.get(`${lineage}#${segment}`)),
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
          if ((this.committed.filled.get(id) ?? 0) < segments) writes.filled.set(id, segments);
          this.#world.tally.add('event: segment filled into a meter version');
        }),
      raiseCut: (lineage, cut) =>
        statement('raise cut', async () => {
          await this.#lock(process, tx, `cut ${lineage}`);
          if ((this.committed.cuts.get(lineage)?.segments ?? 0) < cut.segments) writes.cuts.set(lineage, cut);
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
    // The statement sorts by key, as the contract says.
    for (const { event, position, content } of [...events].sort((a, b) => (keyOf(a.event) < keyOf(b.event) ? -1 : 1))) {
      const id = keyOf(event);
      if (this.committed.keys.has(id) || tx.writes.keys.has(id)) continue;
      await this.#lock(process, tx, `key ${id}`);
      if (this.committed.keys.has(id)) continue;
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
    for (const cell of cells) {
      const id = cellId(cell);
      await this.#lock(process, tx, `rollup ${id}`);
      if (!this.committed.rollups.has(id)) tx.writes.rollups.set(id, { ...cell, ...EMPTY });
      await this.#world.scheduler.gate(process, 'one more row locked', 'reply');
    }
    for (const hour of hours) {
      const id = hourId(hour);
      await this.#lock(process, tx, `hour ${id}`);
      if (!this.committed.hours.has(id)) tx.writes.hours.set(id, { ...hour, total: 0n, count: 0 });
    }
  }

  /** The statement's snapshot is taken first; a row that is locked is waited for, and then set to what the snapshot gave. */
  async #recompute(
    process: SimProcess,
    tx: Transaction,
    cells: readonly Cell[],
    hours: readonly HourUsage[],
  ): Promise<void> {
    const partials = new Map([...this.committed.partials, ...tx.writes.partials]);
    const hourPartials = new Map([...this.committed.hourPartials, ...tx.writes.hourPartials]);
    for (const key of cells) {
      const id = cellId(key);
      let sum = EMPTY;
      for (const { cell } of partials.values()) if (cellId(cell) === id) sum = mergeAccumulators(sum, cell);
      await this.#lock(process, tx, `rollup ${id}`);
      if (this.committed.rollups.has(id) || tx.writes.rollups.has(id)) tx.writes.rollups.set(id, { ...key, ...sum });
    }
    for (const key of hours) {
      const id = hourId(key);
      const same = [...hourPartials.values()].filter(({ hour }) => hourId(hour) === id);
      await this.#lock(process, tx, `hour ${id}`);
      if (!this.committed.hours.has(id) && !tx.writes.hours.has(id)) continue;
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
    if (tx.isOver) throw new MeterError('DATABASE_UNAVAILABLE', 'COMMIT: the connection was closed');
    const { committed } = this;
    for (const name of Object.keys(committed) as (keyof Tables)[]) {
      const into: Map<string, unknown> = committed[name];
      // Partials and copies under keys that are there stay as they are (ON CONFLICT DO NOTHING).
      const stays = name === 'copies' || name.endsWith('artials');
      for (const [id, row] of tx.writes[name]) if (!stays || !into.has(id)) into.set(id, row);
    }
    this.#release(tx);
    this.#snap();
    const hours = new Map([...committed.hours].flatMap(([id, { total, count }]) => (count > 0 ? [[id, total]] : [])));
    this.#world.oracle.committed(committed.cuts, committed.rollups.values(), hours, committed.filled);
    this.#world.tally.add('check: rollups at a commit (4)');
  }

  serve(meter: string): void {
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
    for (const [id, holder] of this.#locks) if (holder === tx) this.#locks.delete(id);
  }
}
