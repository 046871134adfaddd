/** A rebuild as one process sees it, and the comparison of two batch views. */
import type { NotCompared, Rebuilds, ViewDifference } from '../../src/contract.ts';
import type { Cell } from '../../src/domain/cell.ts';
import { MeterError } from '../../src/errors.ts';
import { Database, type Tables } from './database.ts';
import { batchOn, wireOf } from './ports.ts';
import type { SimProcess } from './scheduler.ts';
import type { World } from './world.ts';

const asText = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'bigint' ? inner.toString() : inner instanceof Map ? [...inner] : inner,
  );

/** Rows of the tables that must be the same, by table and key. */
function rowsOf(tables: Tables, { meters }: NotCompared): Map<string, string> {
  const isCompared = (cell: Cell): boolean => !meters.includes(cell.meter);
  const rows = new Map<string, string>();
  for (const [id, row] of tables.keys) rows.set(`keys ${id}`, asText(row));
  for (const [id, row] of tables.partials) if (isCompared(row.cell)) rows.set(`partials ${id}`, asText(row));
  for (const [id, row] of tables.rollups) if (isCompared(row)) rows.set(`rollups ${id}`, asText(row));
  for (const [id, row] of tables.hourPartials) rows.set(`hour partials ${id}`, asText(row));
  for (const [id, row] of tables.hours) rows.set(`hours ${id}`, asText(row));
  // The routing key is that of the rules at the time.
  for (const [id, row] of tables.rejects) rows.set(`rejects ${id}`, asText({ ...row, key: null }));
  return rows;
}

function differencesOf(live: Tables, rebuilt: Tables, not: NotCompared): ViewDifference[] {
  const [one, two] = [rowsOf(live, not), rowsOf(rebuilt, not)];
  const isForgotten = (id: string): boolean =>
    id.startsWith('keys ') && !one.has(id) && (rebuilt.keys.get(id.slice(5))?.timestamp ?? 0) < not.keysBefore * 1000;
  return [...new Set([...one.keys(), ...two.keys()])].flatMap((id): ViewDifference[] => {
    if (one.get(id) === two.get(id) || isForgotten(id)) return [];
    return [{ table: '', key: id, live: one.get(id) ?? null, rebuilt: two.get(id) ?? null }];
  });
}

export function rebuildsOf(world: World, process: SimProcess): Rebuilds {
  const wire = wireOf(world, process);
  const code = 'DATABASE_UNAVAILABLE';
  const there = (what: string): Database => {
    if (world.rebuilt === undefined) throw new MeterError(code, `${what}: the rebuild is gone`);
    return world.rebuilt;
  };
  return {
    open: () =>
      wire.write('open a rebuild', code, () => {
        world.rebuilt ??= new Database(world);
        return batchOn(world.rebuilt, world, process, wire);
      }),
    compare: (_, not) =>
      wire.read('compare', code, () => {
        const [live, rebuilt] = [world.database.committed, there('compare').committed];
        const cuts = [live, rebuilt].map((tables) => asText([...tables.cuts].map(([id, cut]) => [id, cut.segments]).sort()));
        const isLevel = cuts[0] === cuts[1];
        return { isLevel, differences: differencesOf(live, rebuilt, not), next: undefined };
      }),
    flip: (work) => world.database.flip(process, there('flip'), work),
    isOpen: () => wire.read('look for a rebuild', code, () => world.rebuilt !== undefined),
    drop: () =>
      wire.write('drop a rebuild', code, () => {
        if (world.rebuilt !== undefined) world.rebuilt.isGone = true;
        world.rebuilt = undefined;
      }),
  };
}
