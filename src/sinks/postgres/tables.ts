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

type Key = { readonly tenant: string; readonly key: string };

const OLD = (where: string): string => `
  SELECT tenant_id AS tenant, idempotency_key AS key FROM metering_events
  WHERE event_timestamp < to_timestamp($1 / 1000.0) ${where} ORDER BY event_timestamp LIMIT $2`;
const PAYLOAD = `(subject IS NOT NULL OR properties <> '{}'::jsonb)`;
const SAME = `e.tenant_id = k.tenant COLLATE "C" AND e.idempotency_key = k.key COLLATE "C" AND e.event_timestamp < to_timestamp($3 / 1000.0)`;
const KEYS = `unnest($1::text[], $2::text[]) AS k (tenant, key)`;

/** Key, content, lineage and position stay: copies and conflicts are told as before. */
const EMPTY = `UPDATE metering_events e SET subject = NULL, properties = '{}' FROM ${KEYS} WHERE ${SAME}`;
const FORGET = `DELETE FROM metering_events e USING ${KEYS} WHERE ${SAME}`;

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
    for (const n of [0, 1, 2, 3, 4, 5, 6, 7]) await run(pool, 'vacuum event rows', `VACUUM metering_events_${n}`);
  };
  const change = async (what: string, [find, text]: readonly [string, string], before: number, limit: number) => {
    const keys = await run<Key>(pool, what, find, [before, limit]);
    if (keys.length === 0) return 0;
    await run(pool, what, text, [keys.map((k) => k.tenant), keys.map((k) => k.key), before]);
    await vacuum(keys.length);
    return keys.length;
  };
  return {
    emptyEvents: (before, limit) => change('empty event rows', [OLD(`AND ${PAYLOAD}`), EMPTY], before, limit),
    forgetKeys: (before, limit) => change('forget keys', [OLD(''), FORGET], before, limit),
    oldestUsageMonth: () => oldestMonth(pool),
    forgetHours: async (month, limit) => {
      const end = startOfMonth(month + 1) / MS_PER_HOUR;
      await run(pool, 'note what usage is kept', RAISE_FROM, [end]);
      return (await run(pool, 'forget hours', FORGET_HOURS, [end, limit])).length;
    },
    dropUsageMonth: (month) => dropMonth(pool, month, { embedded }),
  };
}
