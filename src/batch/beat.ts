/**
 * Notices a database that was put back to an earlier state beside a speed store that was not. The scheduler counts on in the
 * database first and tells the speed store then: what that was told of is in the database, or was.
 */
import type { Beats, SpeedStore } from '../contract.ts';
import { databaseRestored, demandSame } from '../domain/restored.ts';

export interface BeatPorts {
  readonly speed: Pick<SpeedStore, 'told' | 'database'>;
  readonly beats: Beats;
}

/** Throws DATABASE_RESTORED. The database is asked behind the speed store: what that was told had been committed before. */
export async function demandCurrent({ speed, beats }: BeatPorts): Promise<void> {
  const told = await speed.told();
  const { beat, incarnation } = await beats.last();
  if (told > beat) throw databaseRestored(`it had counted to beat ${String(told)}, and is at ${String(beat)}`);
  demandSame(speed, incarnation);
}

/** One beat. Throws as above. */
export async function beatOnce(ports: BeatPorts): Promise<void> {
  // Before it counts on: a database that was put back would else catch up with what was told.
  await demandCurrent(ports);
  const { beat } = await ports.beats.next();
  await ports.speed.told(beat);
}

export interface RestoredPorts extends BeatPorts {
  readonly speed: BeatPorts['speed'] & Pick<SpeedStore, 'look' | 'forget'>;
  readonly buckets: number;
  /** A value never used before. */
  readonly unique: () => string;
}

/** What `look` needs: a bucket is looked at, whatever its lineages are. */
const ANY_LINEAGE = '-';

/**
 * The database was restored, and nothing runs: what the live counters hold is freed, and those to come get names that were never
 * used. Again, it does so again. Answers how many buckets were filled.
 */
export async function restored({ speed, beats, buckets, unique }: RestoredPorts): Promise<number> {
  let filled = 0;
  for (let bucket = 0; bucket < buckets; bucket += 1) {
    const { incarnation } = await speed.look(bucket, ANY_LINEAGE);
    if (incarnation === undefined) continue;
    await speed.forget(bucket, incarnation);
    filled += 1;
  }
  await beats.renew(unique(), await speed.told());
  return filled;
}
