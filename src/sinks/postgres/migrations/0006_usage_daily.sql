-- Up Migration

-- Usage of a UTC day: recomputed from its hours by the publish that changed one of them, never incremented.
CREATE TABLE usage_daily (
  tenant_id      text COLLATE "C" NOT NULL,
  event_type     text COLLATE "C" NOT NULL,
  day            date NOT NULL,
  total_quantity numeric NOT NULL DEFAULT 0,
  event_count    bigint NOT NULL DEFAULT 0,
  computed_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, event_type, day)
) WITH (fillfactor = 80);
INSERT INTO usage_daily (tenant_id, event_type, day, total_quantity, event_count)
SELECT tenant_id, event_type, (hour AT TIME ZONE 'UTC')::date, sum(total_quantity), sum(event_count) FROM usage_hourly GROUP BY 1, 2, 3;

-- The `ok` events of a published segment that did not count: what fills a meter version from the archive needs to know it
-- after their keys are gone. Segments of before have no row; their keys are all there.
CREATE TABLE copies (
  lineage   text COLLATE "C" NOT NULL,
  segment   int NOT NULL,
  positions text[] NOT NULL,
  PRIMARY KEY (lineage, segment)
);

-- A tenant's events of a type in a range of time, summed without a look at the rows.
CREATE INDEX metering_events_usage ON metering_events (tenant_id, event_type, event_timestamp) INCLUDE (quantity);

-- Few rows among many rejects, and the ones that a bill depends on: the list of one code reads these alone.
CREATE INDEX rejects_conflicts ON rejects (arrival DESC, lineage DESC, position DESC) WHERE code = 'KEY_CONFLICT';

-- Verdicts depend on both: fixed at the first start. 0: kept for ever.
ALTER TABLE installation
  ADD COLUMN key_retention_ms       bigint NOT NULL DEFAULT 0,
  ADD COLUMN usage_retention_months int NOT NULL DEFAULT 0,
  -- Hours since 1970: hourly usage before it was dropped.
  ADD COLUMN usage_from             int NOT NULL DEFAULT 0;
