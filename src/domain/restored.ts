/**
 * How one sees that a database was put back to an earlier state beside live counters that were not. Whatever the live counters know
 * of it - a floor, a beat - was committed before they were told: a later look that lacks it is proof.
 */
import { MeterError } from '../errors.ts';

/** What an operator does about it. */
const WAY_OUT = 'stop all roles, run `meterfold restored`, start them';

export const databaseRestored = (what: string): MeterError =>
  new MeterError('DATABASE_RESTORED', `${what}: the database was put back to an earlier state`, { allowed: WAY_OUT });

type Cuts = ReadonlyMap<string, { readonly segments: number }>;

/** Of cuts that were read behind the floor. Throws DATABASE_RESTORED. */
export function demandFloor(lineage: string, floor: number, cuts: Cuts): void {
  const cut = cuts.get(lineage)?.segments ?? 0;
  if (floor <= cut) return;
  throw databaseRestored(`${lineage} was published up to segment ${String(floor)}, and is up to ${String(cut)}`);
}

/** The same for all floors of some buckets. */
export function demandFloors(states: readonly { readonly floors: ReadonlyMap<string, number> }[], cuts: Cuts): void {
  for (const { floors } of states) for (const [lineage, floor] of floors) demandFloor(lineage, floor, cuts);
}

/** Throws DATABASE_RESTORED where the counters that this process reads are those of another incarnation. */
export function demandSame(speed: { readonly database: string | undefined }, incarnation: string | undefined): void {
  if (speed.database === undefined || incarnation === undefined || speed.database === incarnation) return;
  throw new MeterError('DATABASE_RESTORED', 'go on: the database was restored since this process was started', {
    allowed: 'start the process anew',
  });
}
