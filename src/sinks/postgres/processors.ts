/** Which edge processors were in force, and from when. */
import type { Pool } from 'pg';
import type { EdgeProcessor } from '../../contract.ts';
import { MeterError } from '../../errors.ts';
import { run } from './pool.ts';

export interface ProcessorChange {
  readonly name: string;
  /** Undefined: it is new. */
  readonly from: number | undefined;
  /** Undefined: it is no longer used. */
  readonly to: number | undefined;
}

interface Row {
  readonly name: string;
  readonly last: number | null;
  readonly highest: number;
  readonly [column: string]: unknown;
}

const READ = `SELECT name, (array_agg(version ORDER BY id DESC))[1] AS last, max(version) AS highest
  FROM processors GROUP BY name`;
const WRITE = `INSERT INTO processors (name, version) SELECT * FROM unnest($1::text[], $2::int[])`;

/** Writes what is not as at the last start, and answers it. Throws INSTALLATION_DIFFERS for a version that went back. */
export async function recordProcessors(
  pool: Pool,
  now: readonly Pick<EdgeProcessor, 'name' | 'version'>[],
): Promise<readonly ProcessorChange[]> {
  const rows = await run<Row>(pool, 'read the processors', READ);
  const known = new Map(rows.map((row) => [row.name, row]));
  for (const { name, version } of now) demandNoStepBack(name, version, known.get(name)?.highest ?? 0);
  const used = new Map(now.map(({ name, version }) => [name, version]));
  const changes = [...new Set([...known.keys(), ...used.keys()])]
    .map((name) => ({ name, from: known.get(name)?.last ?? undefined, to: used.get(name) }))
    .filter(({ from, to }) => from !== to);
  if (changes.length > 0) {
    const values = [changes.map(({ name }) => name), changes.map(({ to }) => to ?? null)];
    await run(pool, 'record the processors', WRITE, values);
  }
  return changes;
}

function demandNoStepBack(name: string, version: number, highest: number): void {
  if (version >= highest) return;
  throw new MeterError(
    'INSTALLATION_DIFFERS',
    `start: processor ${name} was used in version ${String(highest)}, is now ${String(version)}`,
    { field: 'processors', value: name, allowed: `version ${String(highest)} or a later one` },
  );
}
