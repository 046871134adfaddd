/** The texts of the statements of a publish. Rows come in as arrays, one a column. */

const CELLS = `unnest($1::text[], $2::text[], $3::int[], $4::text[]) AS k (tenant_id, meter, minute, grp)`;
const SAME_CELL = (row: string): string =>
  `${row}.tenant_id = k.tenant_id COLLATE "C" AND ${row}.meter = k.meter COLLATE "C" AND ${row}.minute = k.minute AND ${row}.grp = k.grp COLLATE "C"`;
const HOURS = `unnest($1::text[], $2::text[], $3::int[]) AS k (tenant_id, event_type, hour)`;
const SAME_HOUR = (row: string): string =>
  `${row}.tenant_id = k.tenant_id COLLATE "C" AND ${row}.event_type = k.event_type COLLATE "C"`;

export const INSERT_EVENTS = `
  INSERT INTO metering_events (tenant_id, idempotency_key, event_type, quantity, event_timestamp, subject, properties,
    lineage, position, arrival, content)
  SELECT e.tenant_id, e.key, e.type, e.quantity, to_timestamp(0) + e.micros * interval '1 microsecond', e.subject, e.properties::jsonb,
    $1, e.position, e.arrival, decode(e.content, 'hex')
  FROM unnest($2::text[], $3::text[], $4::text[], $5::numeric[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::bigint[], $11::text[])
    AS e (tenant_id, key, type, quantity, micros, subject, properties, position, arrival, content)
  ON CONFLICT DO NOTHING
  RETURNING position`;

export const WRITE_PARTIALS = `
  INSERT INTO partials (lineage, segment, tenant_id, meter, minute, grp, count, sum, min, max, latest_order, latest_value, state)
  SELECT $1, $2, c.* FROM unnest($3::text[], $4::text[], $5::int[], $6::text[],
    $7::bigint[], $8::numeric[], $9::numeric[], $10::numeric[], $11::text[], $12::numeric[], $13::text[]) AS c
  ON CONFLICT DO NOTHING`;

export const WRITE_HOUR_PARTIALS = `
  INSERT INTO hour_partials (lineage, segment, tenant_id, event_type, hour, total, count)
  SELECT $1, $2, h.* FROM unnest($3::text[], $4::text[], $5::int[], $6::numeric[], $7::bigint[]) AS h
  ON CONFLICT DO NOTHING`;

/**
 * Rows that are missing are made; those that are there are locked all the same: the condition is read under the lock. In key
 * order. By the primary key, whatever the planner knows: a join to keys was planned as a scan of the table, or by another index.
 */
export const LOCK_ROLLUPS = `
  INSERT INTO rollups AS r (tenant_id, meter, minute, grp)
  SELECT k.* FROM ${CELLS} ORDER BY k.tenant_id COLLATE "C", k.meter COLLATE "C", k.minute, k.grp COLLATE "C"
  ON CONFLICT (tenant_id, meter, minute, grp) DO UPDATE SET count = r.count WHERE false`;

/** The rows are there and locked: it never inserts. */
export const RECOMPUTE_ROLLUPS = `
  INSERT INTO rollups (tenant_id, meter, minute, grp, count, sum, min, max, latest_order, latest_value)
  SELECT k.tenant_id, k.meter, k.minute, k.grp, sum(p.count), sum(p.sum), min(p.min), max(p.max), max(p.latest_order),
    (array_agg(p.latest_value ORDER BY p.latest_order DESC NULLS LAST))[1]
  FROM ${CELLS} JOIN partials p ON ${SAME_CELL('p')}
  GROUP BY 1, 2, 3, 4
  ON CONFLICT (tenant_id, meter, minute, grp) DO UPDATE SET count = excluded.count, sum = excluded.sum, min = excluded.min,
    max = excluded.max, latest_order = excluded.latest_order, latest_value = excluded.latest_value`;

export const READ_STATES = `
  SELECT k.n::int AS n, array_agg(p.state) AS states
  FROM unnest($1::text[], $2::text[], $3::int[], $4::text[]) WITH ORDINALITY AS k (tenant_id, meter, minute, grp, n)
  JOIN partials p ON ${SAME_CELL('p')}
  GROUP BY k.n`;

export const WRITE_STATES = `
  UPDATE rollups r SET state = k.state
  FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[]) AS k (tenant_id, meter, minute, grp, state)
  WHERE ${SAME_CELL('r')}`;

export const WRITE_COPIES = `
  INSERT INTO copies (lineage, segment, positions) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`;

export const READ_COPIES = `SELECT positions FROM copies WHERE lineage = $1 AND segment = $2`;

export const RAISE_FILLED = `
  INSERT INTO meters_filled (meter, lineage, segments) VALUES ($1, $2, $3)
  ON CONFLICT (meter, lineage) DO UPDATE SET segments = excluded.segments
  WHERE meters_filled.segments < excluded.segments`;

export const LOCK_HOURS = `
  INSERT INTO usage_hourly AS u (tenant_id, event_type, hour)
  SELECT k.tenant_id, k.event_type, to_timestamp(k.hour * 3600.0) FROM ${HOURS}
  ORDER BY k.tenant_id COLLATE "C", k.event_type COLLATE "C", k.hour
  ON CONFLICT (tenant_id, event_type, hour) DO UPDATE SET event_count = u.event_count WHERE false`;

export const RECOMPUTE_HOURS = `
  INSERT INTO usage_hourly (tenant_id, event_type, hour, total_quantity, event_count, computed_at)
  SELECT k.tenant_id, k.event_type, to_timestamp(k.hour * 3600.0), sum(p.total), sum(p.count), clock_timestamp()
  FROM ${HOURS} JOIN hour_partials p ON ${SAME_HOUR('p')} AND p.hour = k.hour
  GROUP BY k.tenant_id, k.event_type, k.hour
  ON CONFLICT (tenant_id, event_type, hour) DO UPDATE SET total_quantity = excluded.total_quantity,
    event_count = excluded.event_count, computed_at = excluded.computed_at`;

/** The UTC days of the hours, each once. */
const DAYS = `(SELECT DISTINCT h.tenant_id COLLATE "C" AS tenant_id, h.event_type COLLATE "C" AS event_type, date '1970-01-01' + h.hour / 24 AS day
  FROM unnest($1::text[], $2::text[], $3::int[]) AS h (tenant_id, event_type, hour)) AS k`;

export const INSERT_DAYS = `
  INSERT INTO usage_daily (tenant_id, event_type, day)
  SELECT k.* FROM ${DAYS} ORDER BY k.tenant_id, k.event_type, k.day
  ON CONFLICT DO NOTHING`;

export const LOCK_DAYS = `
  SELECT 1 FROM usage_daily d JOIN ${DAYS} ON d.tenant_id = k.tenant_id AND d.event_type = k.event_type AND d.day = k.day
  ORDER BY d.tenant_id, d.event_type, d.day FOR UPDATE OF d`;

/** A look a day, at its hours alone: the bounds prune the months of usage_hourly. */
export const RECOMPUTE_DAYS = `
  UPDATE usage_daily d SET total_quantity = n.total, event_count = n.count, computed_at = clock_timestamp()
  FROM ${DAYS} CROSS JOIN LATERAL (
    SELECT coalesce(sum(u.total_quantity), 0) AS total, coalesce(sum(u.event_count), 0) AS count FROM usage_hourly u
    WHERE u.tenant_id = k.tenant_id AND u.event_type = k.event_type
      AND u.hour >= k.day::timestamp AT TIME ZONE 'UTC' AND u.hour < (k.day + 1)::timestamp AT TIME ZONE 'UTC'
  ) AS n
  WHERE d.tenant_id = k.tenant_id AND d.event_type = k.event_type AND d.day = k.day`;

export const WRITE_REJECTS = `
  INSERT INTO rejects (lineage, position, code, field, reason, arrival, key, tenant_id, event_type, value)
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::bytea[])
  ON CONFLICT DO NOTHING`;

/** Never goes back: a publisher that was left behind changes nothing. */
export const RAISE_CUT = `
  INSERT INTO cuts (lineage, segments, position, arrival, rules, gaps) VALUES ($1, $2, $3, $4, $5, $6)
  ON CONFLICT (lineage) DO UPDATE SET segments = excluded.segments, position = excluded.position, arrival = excluded.arrival,
    rules = excluded.rules, gaps = greatest(cuts.gaps, excluded.gaps)
  WHERE cuts.segments < excluded.segments`;
