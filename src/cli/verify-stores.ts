/** Gives the recount its ports: one reading of batch view and speed store, and the raw archive and log to count again. */
import { type Accumulators, EMPTY, mergeAccumulators } from '../domain/cell.ts';
import { divideHalfEven, formatDecimal } from '../domain/decimal.ts';
import type { Meter } from '../domain/meter.ts';
import { decode } from '../processors/decode.ts';
import { validate } from '../processors/validate.ts';
import { reachOf, readMerged } from '../serving/merged.ts';
import { type Audit, auditSnapshot } from '../sinks/postgres/audit.ts';
import type { Settings } from '../topology.ts';
import { compare, Expectation, type Held, idOf, shown, type VerifyReport } from '../verify/compare.ts';
import { recount } from '../verify/recount.ts';
import type { Stores } from './stores.ts';

/** Minutes since 1970 that no event reaches. */
const EVER = 2 ** 31 - 1;

function valueOf({ aggregation }: Meter, a: Accumulators): string {
  switch (aggregation) {
    case 'sum':
      return formatDecimal(a.sum);
    case 'average':
      return formatDecimal(divideHalfEven(a.sum, a.count));
    case 'count':
      return String(a.count);
    case 'min':
      return formatDecimal(a.min ?? 0n);
    case 'max':
      return formatDecimal(a.max ?? 0n);
    case 'latest':
      return formatDecimal(a.latest?.value ?? 0n);
  }
}

/** What the merged answer is, by tenant, meter, hour and group. */
function answersOf({ batch, live }: Awaited<ReturnType<typeof readMerged>>, { meters }: Settings): Held {
  const sums = new Map<string, { readonly meter: string; sum: Accumulators }>();
  for (const cell of [...batch, ...live]) {
    const id = idOf(cell.tenant, cell.meter, Math.floor(cell.minute / 60), cell.group);
    sums.set(id, { meter: cell.meter, sum: mergeAccumulators(sums.get(id)?.sum ?? EMPTY, cell) });
  }
  return new Map(
    [...sums].flatMap(([id, { meter, sum }]) => {
      const found = meters.find(meter.slice(0, meter.lastIndexOf('@')));
      return found === undefined || sum.count === 0 ? [] : [[id, shown(valueOf(found, sum), sum.count)] as const];
    }),
  );
}

const hoursOf = (hours: Audit['hours']): Held =>
  new Map(hours.map((h) => [idOf(h.tenant, h.eventType, h.hour), shown(formatDecimal(h.total), h.count)]));

/** Reads all stores at one proof, then recounts up to it. */
export async function verifyStores(stores: Stores, settings: Settings): Promise<VerifyReport> {
  const { pool, log, archive, catalog, speed } = stores;
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
  const reach = new Map(
    reachOf(merged, all, ids).map(({ bucket, lineage, position }) => [`${bucket} ${lineage}`, position]),
  );
  const expected = new Expectation(settings.meters);
  expected.usageFrom = usageFrom;
  const ports = { archive, catalog, source: log, buckets, decode: decode(), validate: validate(settings.rules) };
  const extent = {
    cuts: merged.cuts,
    reaches: (bucket: number, lineage: string) => reach.get(`${bucket} ${lineage}`) ?? '',
  };
  const findings = await recount(ports, extent, (winner) => {
    expected.count(winner);
  });
  return compare(expected, hoursOf(hours), answersOf(merged, settings), findings);
}
