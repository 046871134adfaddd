/** Steps of retention on PostgreSQL. Each is a short transaction of its own, and repeating it changes nothing. */
import type { Pool } from 'pg';
import type { Tables } from '../../contract.ts';
import { startOfMonth } from '../../domain/kept.ts';
import { dropMonth, oldestMonth } from './months.ts';
import { run } from './pool.ts';

export interface TablesOptions {
  /** One session: nothing can run beside a statement there, so nothing is gained by CONCURRENTLY. It vacuums only when told. */
  readonly embedded: boolean;
}

/** Hash partitions of metering_events. A step goes through them by their own names: a row is then found by its place alone. */
const PARTITIONS = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => `metering_events_${n}`);

/** The places of the oldest rows, in one statement with what is done to them. Nobody else changes rows of events. */
const OLDEST = (table: string, where = ''): string => `ctid = ANY (ARRAY(
    SELECT ctid FROM ${table} WHERE event_timestamp < to_timestamp($1 / 1000.0) ${where} ORDER BY event_timestamp LIMIT $2
  )) RETURNING 1`;
const PAYLOAD = `AND (subject IS NOT NULL OR properties <> '{}'::jsonb)`;

/** Key, content, lineage and position stay: copies and conflicts are told as before. */
const EMPTY = (table: string): string =>
  `UPDATE ${table} SET subject = NULL, properties = '{}' WHERE ${OLDEST(table, PAYLOAD)}`;
const FORGET = (table: string): string => `DELETE FROM ${table} WHERE ${OLDEST(table)}`;

const FORGET_HOURS = `
  DELETE FROM hour_partials WHERE ctid = ANY (ARRAY(SELECT ctid FROM hour_partials WHERE hour < $1 LIMIT $2))
  RETURNING 1`;
/** Before anything goes: a recount then knows not to miss it. */
const RAISE_FROM = `UPDATE installation SET usage_from = $1 WHERE usage_from < $1`;

const MS_PER_HOUR = 3_600_000;
/** Changed rows of a table after which the embedded server is told to reuse their space. */
const DEAD_ROWS = 20_000;

export function postgresTables(pool: Pool, { embedded }: TablesOptions): Tables {
  let dead = 0;
  const vacuum = async (rows: number): Promise<void> => {
    dead += rows;
    if (!embedded || dead < DEAD_ROWS) return;
    dead = 0;
    // One after the other, so that others get their turn in between.
    for (const table of PARTITIONS) await run(pool, `vacuum ${table}`, `VACUUM ${table}`);
  };
  const change = async (what: string, text: (table: string) => string, before: number, limit: number): Promise<number> => {
    let rows = 0;
    for (const table of PARTITIONS) rows += (await run(pool, `${what} of ${table}`, text(table), [before, limit])).length;
    await vacuum(rows);
    return rows;
  };
  return {
    emptyEvents: (before, limit) => change('empty rows', EMPTY, before, limit),
    forgetKeys: (before, limit) => change('forget keys', FORGET, before, limit),
    oldestUsageMonth: () => oldestMonth(pool),
    forgetHours: async (month, limit) => {
      const end = startOfMonth(month + 1) / MS_PER_HOUR;
      await run(pool, 'note what usage is kept', RAISE_FROM, [end]);
      return (await run(pool, 'forget hours', FORGET_HOURS, [end, limit])).length;
    },
    dropUsageMonth: (month) => dropMonth(pool, month, { embedded }),
  };
}
