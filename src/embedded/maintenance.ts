/** What a server does by itself and the embedded one does not: checkpoints, vacuum, and statistics. */
import type { Pool } from 'pg';

/** WAL that may pile up: it is replayed at the start after a kill (600,000 rows, 1.2 GB of WAL: 4.3 s; after a checkpoint 0.6 s). */
const WAL_BYTES = 64 * 1024 * 1024;
/** Deleted rows of the log after which its space is given back. */
const DEAD_ROWS = 20_000;
const EVERY_MS = 2000;
/**
 * Without statistics the planner takes the index by meter for one tenant's rollups, and reads those of all tenants. Anew when
 * the table has doubled; a small one is read fast either way. (A page has 8 kB.)
 */
const HAS_DOUBLED = `SELECT pg_relation_size(oid) > 8192 * (2 * greatest(relpages, 0) + 32) AS doubled
  FROM pg_class WHERE oid = 'rollups'::regclass`;

export interface MaintenanceRole {
  readonly name: string;
  readonly everyMs: number;
  step(): Promise<void>;
}

export function maintain(pool: Pool): MaintenanceRole {
  let checkpointed: string | undefined;
  let vacuumed = 0;
  const step = async (): Promise<void> => {
    const { rows } = await pool.query<{ lsn: string; wal: string; dead: number }>(
      `SELECT pg_current_wal_lsn()::text AS lsn, pg_wal_lsn_diff(pg_current_wal_lsn(), $1::pg_lsn)::text AS wal,
        (SELECT coalesce(sum(first_position), 0)::bigint FROM log_partitions) AS dead`,
      [checkpointed ?? '0/0'],
    );
    const found = rows[0];
    if (found === undefined) return;
    if (checkpointed === undefined || Number(found.wal) > WAL_BYTES) {
      await pool.query('CHECKPOINT');
      checkpointed = found.lsn;
    }
    if (found.dead - vacuumed > DEAD_ROWS) {
      await pool.query('VACUUM log_records');
      vacuumed = found.dead;
    }
    const { rows: sizes } = await pool.query<{ doubled: boolean }>(HAS_DOUBLED);
    if (sizes[0]?.doubled === true) await pool.query('ANALYZE rollups');
  };
  return { name: 'maintenance', everyMs: EVERY_MS, step };
}
