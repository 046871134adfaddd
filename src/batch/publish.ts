/**
 * Folds a sealed segment into the batch view, in one transaction whose every step is harmless when repeated. The order of
 * the statements is the protocol; batch-view.ts has one method for each.
 */
import type {
  Archive,
  ArchivedEvent,
  BatchView,
  HourUsage,
  KeyRow,
  Lineage,
  Position,
  PublishTransaction,
  Reject,
  RuleSets,
} from '../contract.ts';
import { encodeEvent } from '../domain/avro.ts';
import { contentDigest } from '../domain/canonical.ts';
import { type Cell, foldCells } from '../domain/cell.ts';
import { GroupBound } from '../domain/groups.ts';
import { type Meter, measure, measures, meterId } from '../domain/meter.ts';
import { routingKeyOf } from '../domain/routing.ts';
import type { SegmentRow } from '../domain/segment.ts';
import { readSegment } from '../sinks/archive/segments.ts';

export interface PublishPorts {
  readonly archive: Archive;
  readonly batch: BatchView;
  readonly ruleSets: RuleSets;
}

const MICROS_PER_HOUR = 3_600_000_000;
const keyOf = ({ tenant, key }: { readonly tenant: string; readonly key: string }): string => `${tenant}\0${key}`;

/** The `ok` events of a sealed segment, in log order. */
async function eventsOf({ archive, ruleSets }: PublishPorts, row: SegmentRow): Promise<ArchivedEvent[]> {
  const records = await readSegment(archive, row);
  const ok = records.flatMap(({ event, verdict, position, arrival, rules }): ArchivedEvent[] =>
    verdict === 'ok' && event !== null ? [{ event, position, arrival, rules, content: contentDigest(event) }] : [],
  );
  for (const rules of new Set(ok.map((e) => e.rules))) await ruleSets.demand(rules);
  return ok;
}

/** A segment on its way into the batch view. */
interface Folded {
  readonly lineage: Lineage;
  readonly row: SegmentRow;
  readonly ok: readonly ArchivedEvent[];
}

/** Publishes one segment. Answers how many of its events won their key. */
export async function publish(ports: PublishPorts, lineage: Lineage, row: SegmentRow): Promise<number> {
  const ok = await eventsOf(ports, row);
  await ports.batch.prepare(hoursOf(ok));
  return ports.batch.transaction((tx) => fold(tx, ports, { lineage, row, ok }));
}

async function fold(tx: PublishTransaction, ports: PublishPorts, { lineage, row, ok }: Folded): Promise<number> {
  const firsts = firstOfKey(ok);
  const inserted = await tx.insertEvents(lineage.id, [...firsts.values()]);
  const held = await holdersOf(tx, ok, inserted);
  // Whoever inserted it: after a commit whose reply was lost, the rows are there and RETURNING names none of them.
  const isWinner = (e: ArchivedEvent): boolean => inserted.has(e.position) || holds(held, lineage, e);
  const winners = ok.filter(isWinner);
  const cells = cellsOf({ lineage, row, ok }, isWinner, ports.ruleSets);
  const hours = hoursOf(winners);
  await tx.writePartials(lineage.id, row.segment, cells, hours);
  const copies = ok.filter((e) => !isWinner(e)).map(({ position }) => position);
  if (ok.length > 0) await tx.writeCopies(lineage.id, row.segment, copies);
  await tx.lockRollups(cells, hours);
  await tx.recomputeRollups(cells, hours);
  await tx.writeRejects(conflicts(lineage.id, ok, firsts, inserted, held, ports.ruleSets));
  const rules = ok.reduce((newest, e) => Math.max(newest, e.rules), row.rules);
  const cut = { segments: row.segment + 1, position: row.end, arrival: row.endArrival, rules };
  await tx.raiseCut(lineage.id, row.gap === undefined ? cut : { ...cut, gaps: row.gap.number });
  return winners.length;
}

const holds = (held: ReadonlyMap<string, KeyRow>, { id }: Lineage, { event, position }: ArchivedEvent): boolean => {
  const row = held.get(keyOf(event));
  return row !== undefined && row.lineage === id && row.position === position;
};

/** The first copy of each key in the segment. */
function firstOfKey(ok: readonly ArchivedEvent[]): Map<string, ArchivedEvent> {
  const firsts = new Map<string, ArchivedEvent>();
  for (const e of ok) if (!firsts.has(keyOf(e.event))) firsts.set(keyOf(e.event), e);
  return firsts;
}

/** The rows of keys that this insert did not make. */
async function holdersOf(
  tx: PublishTransaction,
  ok: readonly ArchivedEvent[],
  inserted: ReadonlySet<Position>,
): Promise<Map<string, KeyRow>> {
  const others = ok.filter(({ position }) => !inserted.has(position)).map(({ event }) => event);
  const keys = new Map(others.map((event) => [keyOf(event), { tenant: event.tenant, key: event.key }]));
  if (keys.size === 0) return new Map();
  return new Map((await tx.holders([...keys.values()])).map((row) => [keyOf(row), row]));
}

/**
 * The cells of the events that won, by the meters in force at each of them, or by `of`. Groups are bounded over all `ok`
 * events, as the worker bounds them: it does not know yet who will win.
 */
function cellsOf(
  { lineage, row, ok }: Folded,
  isWinner: (e: ArchivedEvent) => boolean,
  ruleSets: Pick<RuleSets, 'get'>,
  of?: readonly Meter[],
): Cell[] {
  const bound = new GroupBound();
  return foldCells(
    ok.flatMap((e) => {
      const { meters, maxGroups } = ruleSets.get(e.rules);
      const at = { depth: lineage.depth, lineage: lineage.id, position: e.position };
      const concerned = of?.filter(({ eventType }) => eventType === e.event.type) ?? meters.forType(e.event.type);
      const { contributions } = measure(e.event, at, concerned);
      const limited = bound.limit({ segment: row.segment, most: maxGroups }, contributions);
      return isWinner(e) ? limited : [];
    }),
  );
}

/** Adds what a published segment holds of a meter version that began later. */
export async function fillSegment(ports: PublishPorts, lineage: Lineage, row: SegmentRow, meter: Meter): Promise<void> {
  const ok = (await eventsOf(ports, row)).filter(({ event }) => event.type === meter.eventType);
  const isMissing = ({ rules }: ArchivedEvent): boolean => !measures(ports.ruleSets.get(rules).meters, meter);
  const missing = ok.filter(isMissing);
  await ports.batch.transaction(async (tx) => {
    const copies = await tx.copies(lineage.id, row.segment);
    // Who won was noted by the publish: the row of a key may be gone. Where it was not, no key has ever been forgotten.
    const held = copies === undefined ? await holdersOf(tx, missing, new Set()) : new Map<string, KeyRow>();
    const isWinner = (e: ArchivedEvent): boolean =>
      copies === undefined ? holds(held, lineage, e) : !copies.has(e.position);
    const cells = cellsOf({ lineage, row, ok: missing }, isWinner, ports.ruleSets, [meter]);
    await tx.writePartials(lineage.id, row.segment, cells, []);
    await tx.lockRollups(cells, []);
    await tx.recomputeRollups(cells, []);
    await tx.raiseFilled(meterId(meter), lineage.id, row.segment + 1);
  });
}

/** Usage by tenant, event type and hour, in key order. */
export function hoursOf(events: readonly ArchivedEvent[]): HourUsage[] {
  const hours = new Map<string, HourUsage>();
  for (const { event } of events) {
    const hour = Math.floor(event.timestamp / MICROS_PER_HOUR);
    const id = `${event.tenant}\0${event.type}\0${String(hour)}`;
    const { total, count } = hours.get(id) ?? { total: 0n, count: 0 };
    hours.set(id, { tenant: event.tenant, eventType: event.type, hour, total: total + event.quantity, count: count + 1 });
  }
  return [...hours].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, usage]) => usage);
}

/** Copies whose content is not that of the row that holds their key: the first stands, they are kept as rejects. */
function conflicts(
  lineage: string,
  ok: readonly ArchivedEvent[],
  firsts: ReadonlyMap<string, ArchivedEvent>,
  inserted: ReadonlySet<Position>,
  held: ReadonlyMap<string, KeyRow>,
  { newest }: Pick<RuleSets, 'newest'>,
): Reject[] {
  return ok.flatMap(({ event, position, arrival, content }): Reject[] => {
    const first = firsts.get(keyOf(event));
    const stands = first !== undefined && inserted.has(first.position) ? first.content : held.get(keyOf(event))?.content;
    if (stands === undefined || stands === content) return [];
    const reason = `the key stands with content ${stands}, this copy has ${content}`;
    const names = { lineage, position, code: 'KEY_CONFLICT', field: 'idempotency_key', reason, arrival };
    return [
      {
        ...names,
        key: routingKeyOf(event, newest.spread),
        tenant: event.tenant,
        eventType: event.type,
        value: encodeEvent(event),
      },
    ];
  });
}
