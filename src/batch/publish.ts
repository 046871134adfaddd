/**
 * Folds a sealed segment into the batch view, in one transaction whose every step is harmless when repeated. The order of
 * the statements is the protocol; batch-view.ts has one method for each.
 */
import type {
  Archive,
  ArchivedEvent,
  BatchView,
  Cut,
  HourUsage,
  KeyRow,
  Lineage,
  Position,
  PublishTransaction,
  Reject,
} from '../contract.ts';
import { encodeEvent } from '../domain/avro.ts';
import { contentDigest } from '../domain/canonical.ts';
import { type Cell, foldCells } from '../domain/cell.ts';
import { measure, type MeterSet } from '../domain/meter.ts';
import { routingKeyOf } from '../domain/routing.ts';
import type { SegmentRow } from '../domain/segment.ts';
import { readSegment } from '../sinks/archive/segments.ts';

export interface PublishPorts {
  readonly archive: Archive;
  readonly batch: BatchView;
  readonly meters: MeterSet;
}

const MICROS_PER_HOUR = 3_600_000_000;
const keyOf = ({ tenant, key }: { readonly tenant: string; readonly key: string }): string => `${tenant}\0${key}`;

/** Publishes one segment. Answers how many of its events won their key. */
export async function publish(ports: PublishPorts, lineage: Lineage, row: SegmentRow): Promise<number> {
  const records = await readSegment(ports.archive, row);
  const ok = records.flatMap(({ event, verdict, position, arrival }): ArchivedEvent[] =>
    verdict === 'ok' && event !== null ? [{ event, position, arrival, content: contentDigest(event) }] : [],
  );
  await ports.batch.prepare(hoursOf(ok));
  const cut: Cut = { segments: row.segment + 1, position: row.end, arrival: row.endArrival };
  return ports.batch.transaction((tx) => fold(tx, ports.meters, lineage, row.segment, ok, cut));
}

async function fold(
  tx: PublishTransaction,
  meters: MeterSet,
  lineage: Lineage,
  segment: number,
  ok: readonly ArchivedEvent[],
  cut: Cut,
): Promise<number> {
  const firsts = firstOfKey(ok);
  const inserted = await tx.insertEvents(lineage.id, [...firsts.values()]);
  const held = await holdersOf(tx, ok, inserted);
  // Whoever inserted it: after a commit whose reply was lost, the rows are there and RETURNING names none of them.
  const isWinner = ({ event, position }: ArchivedEvent): boolean => {
    const row = held.get(keyOf(event));
    return inserted.has(position) || (row !== undefined && row.lineage === lineage.id && row.position === position);
  };
  const winners = ok.filter(isWinner);
  const cells = cellsOf(meters, lineage, winners);
  const hours = hoursOf(winners);
  await tx.writePartials(lineage.id, segment, cells, hours);
  await tx.lockRollups(cells, hours);
  await tx.recomputeRollups(cells, hours);
  await tx.writeRejects(conflicts(lineage.id, ok, firsts, inserted, held));
  await tx.raiseCut(lineage.id, cut);
  return winners.length;
}

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

const cellsOf = (meters: MeterSet, lineage: Lineage, winners: readonly ArchivedEvent[]): Cell[] =>
  foldCells(
    winners.flatMap(({ event, position }) => {
      const at = { depth: lineage.depth, lineage: lineage.id, position };
      return measure(event, at, meters.forType(event.type)).contributions;
    }),
  );

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
): Reject[] {
  return ok.flatMap(({ event, position, arrival, content }): Reject[] => {
    const first = firsts.get(keyOf(event));
    const stands = first !== undefined && inserted.has(first.position) ? first.content : held.get(keyOf(event))?.content;
    if (stands === undefined || stands === content) return [];
    const reason = `the key stands with content ${stands}, this copy has ${content}`;
    const names = { lineage, position, code: 'KEY_CONFLICT', field: 'idempotency_key', reason, arrival };
    return [{ ...names, key: routingKeyOf(event), tenant: event.tenant, eventType: event.type, value: encodeEvent(event) }];
  });
}
