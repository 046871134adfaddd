/** The statements of one publish, a method each. publish.ts holds their order and says why. */
import type { ArchivedEvent, Cut, HourUsage, Position, PublishTransaction, Reject } from '../../contract.ts';
import type { Cell } from '../../domain/cell.ts';
import { formatDecimal } from '../../domain/decimal.ts';
import { encodeState, mergeStates } from '../../domain/state.ts';
import { holders } from './batch-view.ts';
import { type Queryable, run } from './pool.ts';
import { rejectColumns } from './rejects.ts';
import * as texts from './publish-sql.ts';

const decimal = (value: bigint | undefined): string | null => (value === undefined ? null : formatDecimal(value));
const keyOrder = (a: ArchivedEvent, b: ArchivedEvent): number =>
  Buffer.compare(Buffer.from(`${a.event.tenant}\0${a.event.key}`), Buffer.from(`${b.event.tenant}\0${b.event.key}`));

const cellKeys = (cells: readonly Cell[]): unknown[] => [
  cells.map((c) => c.tenant),
  cells.map((c) => c.meter),
  cells.map((c) => c.minute),
  cells.map((c) => c.group),
];
const hourKeys = (hours: readonly HourUsage[]): unknown[] => [
  hours.map((h) => h.tenant),
  hours.map((h) => h.eventType),
  hours.map((h) => h.hour),
];

const eventColumns = (events: readonly ArchivedEvent[]): unknown[] => [
  events.map((e) => e.event.tenant),
  events.map((e) => e.event.key),
  events.map((e) => e.event.type),
  events.map((e) => formatDecimal(e.event.quantity)),
  events.map((e) => e.event.timestamp),
  events.map((e) => e.event.subject),
  events.map((e) => e.event.properties),
  events.map((e) => e.position),
  events.map((e) => e.arrival),
  events.map((e) => e.content),
];

const accumulators = (cells: readonly Cell[]): unknown[] => [
  cells.map((c) => c.count),
  cells.map((c) => formatDecimal(c.sum)),
  cells.map((c) => decimal(c.min)),
  cells.map((c) => decimal(c.max)),
  cells.map((c) => c.latest?.order ?? null),
  cells.map((c) => decimal(c.latest?.value)),
  cells.map(encodeState),
];

interface StateRow {
  readonly n: number;
  readonly states: (string | null)[];
  readonly [column: string]: unknown;
}

/** Under the locks, in a statement after them: what no database adds up is merged here. */
async function recomputeStates(on: Queryable, sql: Statements, cells: readonly Cell[]): Promise<void> {
  const rows = await run<StateRow>(on, 'publish: read states', sql.READ_STATES, cellKeys(cells));
  const merged = rows.map(({ n, states }) => ({ cell: cells[n - 1], state: encodeState(mergeStates(states)) }));
  const found = merged.flatMap(({ cell, state }) => (cell === undefined ? [] : [{ cell, state }]));
  const values = [...cellKeys(found.map(({ cell }) => cell)), found.map(({ state }) => state)];
  await run(on, 'publish: write states', sql.WRITE_STATES, values);
}

/** Other texts than ours are for tests that show what each statement is for. */
export type Statements = Readonly<Record<keyof typeof texts, string>>;

export function publishTransaction(on: Queryable, sql: Statements = texts): PublishTransaction {
  const step = async (what: string, text: string, values: readonly unknown[]): Promise<void> =>
    void (await run(on, `publish: ${what}`, text, values));
  return {
    insertEvents: async (lineage, events) => {
      if (events.length === 0) return new Set<Position>();
      // In key order: publishers that meet at keys wait for each other in one direction only.
      const sorted = [...events].sort(keyOrder);
      const rows = await run<{ position: string }>(on, 'publish: insert events', sql.INSERT_EVENTS, [
        lineage,
        ...eventColumns(sorted),
      ]);
      return new Set(rows.map(({ position }) => position));
    },
    holders: (keys) => holders(on, keys),
    writePartials: async (lineage, segment, cells, hours) => {
      if (cells.length > 0)
        await step('write partials', sql.WRITE_PARTIALS, [lineage, segment, ...cellKeys(cells), ...accumulators(cells)]);
      if (hours.length === 0) return;
      const sums = [hours.map((h) => formatDecimal(h.total)), hours.map((h) => h.count)];
      await step('write hourly partials', sql.WRITE_HOUR_PARTIALS, [lineage, segment, ...hourKeys(hours), ...sums]);
    },
    writeCopies: (lineage, segment, positions) => step('write copies', sql.WRITE_COPIES, [lineage, segment, positions]),
    copies: async (lineage, segment) => {
      const values = [lineage, segment];
      const [row] = await run<{ positions: string[] }>(on, 'publish: read copies', sql.READ_COPIES, values);
      return row && new Set(row.positions);
    },
    lockRollups: async (cells, hours) => {
      if (cells.length > 0) await step('lock rollups', sql.LOCK_ROLLUPS, cellKeys(cells));
      if (hours.length === 0) return;
      await step('lock hours', sql.LOCK_HOURS, hourKeys(hours));
      await step('insert missing days', sql.INSERT_DAYS, hourKeys(hours));
      await step('lock days', sql.LOCK_DAYS, hourKeys(hours));
    },
    recomputeRollups: async (cells, hours) => {
      if (cells.length > 0) await step('recompute rollups', sql.RECOMPUTE_ROLLUPS, cellKeys(cells));
      const stateful = cells.filter((cell) => encodeState(cell) !== null);
      if (stateful.length > 0) await recomputeStates(on, sql, stateful);
      if (hours.length === 0) return;
      await step('recompute hours', sql.RECOMPUTE_HOURS, hourKeys(hours));
      // A statement of its own, and the days are locked by now: it sees the hours that other publishers committed before.
      await step('recompute days', sql.RECOMPUTE_DAYS, hourKeys(hours));
    },
    writeRejects: async (rejects: readonly Reject[]) => {
      if (rejects.length > 0) await step('write rejects', sql.WRITE_REJECTS, rejectColumns(rejects));
    },
    raiseFilled: (meter, lineage, segments) =>
      step('raise how far a meter is filled', sql.RAISE_FILLED, [meter, lineage, segments]),
    raiseCut: (lineage: string, { segments, position, arrival, rules, gaps = 0 }: Cut) =>
      step('raise the cut', sql.RAISE_CUT, [lineage, segments, position, arrival, rules, gaps]),
  };
}
