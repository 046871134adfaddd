/** Rejects on their way home, on PostgreSQL: read without a lock, marked in the statement that fills the outbox. */
import type { RejectFilter, Rejects } from '../../contract.ts';
import { MeterError } from '../../errors.ts';
import { readCursor, writeCursor } from './cursor.ts';
import { type Queryable, run } from './pool.ts';
import { REJECT_COLUMNS, rejectOf, type RejectRow } from './rejects.ts';

/** Values of one page together, but always one: a foreign producer may write large ones. */
const MOST_BYTES = 4 * 1024 * 1024;

const MATCHES = `($1::text IS NULL OR code = $1) AND ($2::text IS NULL OR tenant_id = $2)
  AND ($3::text IS NULL OR lineage = $3) AND ($4::text IS NULL OR position = $4)
  AND ($5::bigint IS NULL OR arrival >= $5) AND ($6::bigint IS NULL OR arrival < $6)`;
const matching = ({ code, tenant, lineage, position, since, before }: RejectFilter): unknown[] =>
  [code, tenant, lineage, position, since, before].map((part) => part ?? null);

/** The predicate of the index rejects_waiting, word for word. */
const WAITING = `redriven_at IS NULL AND code <> 'KEY_CONFLICT'`;
const ORDER = 'arrival, lineage, position, code';

const PAGE = `
  SELECT ${REJECT_COLUMNS}, bytes > $12 AS is_full FROM (
    SELECT page.*, sum(octet_length(value)) OVER (ORDER BY ${ORDER}) AS bytes FROM (
      SELECT ${REJECT_COLUMNS} FROM rejects
      WHERE ${WAITING} AND ${MATCHES}
        AND ($7::bigint IS NULL OR (${ORDER}) > ($7, $8::text, $9::text, $10::text))
      ORDER BY ${ORDER} LIMIT $11
    ) AS page
  ) AS measured
  WHERE bytes - octet_length(value) <= $12 ORDER BY ${ORDER}`;

const CONFLICTS = `SELECT count(*) AS rejects FROM rejects WHERE code = 'KEY_CONFLICT' AND ${MATCHES}`;

/**
 * One statement, hence one transaction. Rows are locked in the order of their key, so that two redrives never wait in a circle;
 * the one that waited looks at the row again and finds the mark.
 */
const REDRIVE = `
  WITH asked AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
      AS a (lineage, position, code, routing_key, n)
  ), locked AS (
    SELECT r.lineage, r.position, r.code, a.routing_key, a.n
    FROM rejects AS r JOIN asked AS a ON (r.lineage, r.position, r.code) = (a.lineage, a.position, a.code)
    WHERE r.redriven_at IS NULL AND r.code <> 'KEY_CONFLICT'
    ORDER BY r.lineage, r.position, r.code FOR UPDATE OF r
  ), marked AS (
    UPDATE rejects AS r SET redriven_at = to_timestamp($5::bigint / 1000.0) FROM locked AS l
    WHERE (r.lineage, r.position, r.code) = (l.lineage, l.position, l.code)
    RETURNING r.code, r.value, l.routing_key, l.n
  ), home AS (
    INSERT INTO outbox (routing_key, value) SELECT routing_key, value FROM marked ORDER BY n
  )
  SELECT code, count(*) AS rejects FROM marked GROUP BY code ORDER BY code`;

/** Arrival, lineage, position and code of the last reject of a page. */
function placeOf(cursor: string | undefined): readonly (string | null)[] {
  const place = readCursor(cursor, 4);
  const [arrival] = place;
  if (arrival === undefined) return [null, null, null, null];
  if (/^\d{1,16}$/.test(arrival)) return place;
  throw new MeterError('BAD_REQUEST', 'read the cursor: it is not one that a redrive has answered', {
    field: 'cursor',
    value: cursor,
  });
}

export function postgresRejects(on: Queryable): Rejects {
  return {
    waiting: async (filter, { limit, cursor }) => {
      const values = [...matching(filter), ...placeOf(cursor), limit, MOST_BYTES];
      const rows = await run<RejectRow & { is_full: boolean }>(on, 'read rejects that were not redriven', PAGE, values);
      const last = rows.at(-1);
      const isMore = last !== undefined && (rows.length === limit || last.is_full);
      const next = isMore ? writeCursor([String(last.arrival), last.lineage, last.position, last.code]) : undefined;
      return { rejects: rows.map(rejectOf), next };
    },
    conflicts: async (filter) => {
      const [found] = await run<{ rejects: number }>(on, 'count key conflicts', CONFLICTS, matching(filter));
      return found?.rejects ?? 0;
    },
    redrive: async (homeward, at) => {
      const columns = [
        homeward.map(({ lineage }) => lineage),
        homeward.map(({ position }) => position),
        homeward.map(({ code }) => code),
        homeward.map(({ routingKey }) => routingKey),
      ];
      const what = `redrive ${homeward.length} rejects`;
      const done = await run<{ code: string; rejects: number }>(on, what, REDRIVE, [...columns, at]);
      return new Map(done.map(({ code, rejects }) => [code, rejects]));
    },
  };
}
