/** Gives the recount its ports: one reading of batch view and speed store, and the raw archive and log to count again. */
import type { RuleSets, SpeedCell } from '../contract.ts';
import { type AnswerShape, combine } from '../domain/answer.ts';
import type { Cell } from '../domain/cell.ts';
import { formatDecimal } from '../domain/decimal.ts';
import { OTHER } from '../domain/groups.ts';
import { implicitMeters, type Meter, meterId, type MeterSet, meterSetOf } from '../domain/meter.ts';
import { decode } from '../processors/decode.ts';
import { validate } from '../processors/validate.ts';
import { type Merged, reachOf, readMerged } from '../serving/merged.ts';
import { asOfMs } from '../serving/proof.ts';
import { type Audit, auditSnapshot } from '../sinks/postgres/audit.ts';
import type { Settings } from '../topology.ts';
import { compare, Expectation, type Held, idOf, shown, type VerifyReport } from '../verify/compare.ts';
import { recount } from '../verify/recount.ts';
import type { Stores } from './stores.ts';

/** Minutes since 1970 that no event reaches. */
const EVER = 2 ** 31 - 1;

/** What the merged answer is, by tenant, meter, hour and group. */
function answersOf({ batch, live }: Merged, meters: MeterSet, until: number): Held {
  const cells = new Map<string, { readonly batch: Cell[]; readonly live: SpeedCell[] }>();
  const under = (cell: Pick<Cell, 'tenant' | 'meter'>): { readonly batch: Cell[]; readonly live: SpeedCell[] } => {
    const id = JSON.stringify([cell.tenant, cell.meter]);
    const found = cells.get(id) ?? { batch: [], live: [] };
    cells.set(id, found);
    return found;
  };
  for (const cell of batch) under(cell).batch.push(cell);
  for (const cell of live) under(cell).live.push(cell);
  const held = new Map<string, string>();
  for (const [id, found] of cells) {
    const [tenant, name] = JSON.parse(id) as [string, string];
    const at = name.lastIndexOf('@');
    const meter = meters.find(name.slice(0, at), Number(name.slice(at + 1)));
    if (meter === undefined) continue;
    for (const { start, value, count, group, other } of combine(found.batch, found.live, shapeOf(meter, found, until))) {
      const values = JSON.stringify(meter.groupBy.map((property) => group[property] ?? null));
      held.set(idOf(tenant, name, start / 60, other === true ? OTHER : values), shown(value, count));
    }
  }
  return held;
}

/** Hour by hour, over the hours that cells lie in, and those that a gauge's readings hold into. */
function shapeOf(meter: Meter, { batch, live }: Pick<Merged, 'batch' | 'live'>, until: number): AnswerShape {
  const starts = new Set<number>();
  for (const { minute } of [...batch, ...live]) {
    const first = Math.floor(minute / 60);
    const last = Math.min(Math.floor((minute + meter.holdMinutes) / 60), Math.max(first, Math.floor(until / 3600)));
    for (let hour = first; hour <= last; hour += 1) starts.add(hour * 60);
  }
  const edges = [...new Set([...starts].flatMap((start) => [start, start + 60]))].sort((a, b) => a - b);
  return { meter, edges, groupBy: meter.groupBy, filter: new Map(), until };
}

/** The meters that answer, every version of them; versions that are being filled do not yet. */
function answering({ newest, serving }: RuleSets): MeterSet {
  const { meters } = newest;
  return meters.meters.length === 0
    ? meters
    : meterSetOf(
        meters.meters.filter((meter) => serving.has(meterId(meter))),
        meters.implicit ? implicitMeters() : undefined,
      );
}

const hoursOf = (hours: Audit['hours']): Held =>
  new Map(hours.map((h) => [idOf(h.tenant, h.eventType, h.hour), shown(formatDecimal(h.total), h.count)]));

/** Reads all stores at one proof, then recounts up to it. */
export async function verifyStores(stores: Stores, settings: Settings): Promise<VerifyReport> {
  const { pool, log, archive, catalog, speed, ruleSets } = stores;
  await ruleSets.refresh();
  const meters = answering(ruleSets);
  const { buckets } = settings;
  const all = Array.from({ length: buckets }, (_, bucket) => bucket);
  const lineages = await log.lineages();
  let hours: Audit['hours'] = [];
  let usageFrom = 0;
  const snapshot = async (): Promise<Audit> => {
    const audit = await auditSnapshot(pool);
    ({ hours, usageFrom } = audit);
    return audit;
  };
  const merged = await readMerged({ batch: { snapshot }, speed }, { edges: [0, EVER] }, all);
  const ids = lineages.map(({ id }) => id);
  const reached = reachOf(merged, all, ids);
  const reach = new Map(reached.map(({ bucket, lineage, position }) => [`${bucket} ${lineage}`, position]));
  const until = Math.floor(asOfMs(reached) / 1000);
  const expected = new Expectation(meters, until);
  expected.usageFrom = usageFrom;
  const judging = { decode: decode(), validate: validate(ruleSets, settings.kept) };
  const ports = { archive, catalog, source: log, ruleSets, buckets, ...judging };
  const extent = {
    cuts: merged.cuts,
    reaches: (bucket: number, lineage: string) => reach.get(`${bucket} ${lineage}`) ?? '',
  };
  const findings = await recount(ports, extent, (winner) => {
    expected.count(winner);
  });
  return compare(expected, hoursOf(hours), answersOf(merged, meters, until), findings);
}
