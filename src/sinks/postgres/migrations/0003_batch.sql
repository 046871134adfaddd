-- Up Migration

-- The winners: one row a key. PostgreSQL cannot enforce the key over time partitions, hence the hash.
CREATE TABLE metering_events (
  tenant_id       text COLLATE "C" NOT NULL,
  idempotency_key text COLLATE "C" NOT NULL,
  event_type      text COLLATE "C" NOT NULL,
  quantity        numeric(38, 12) NOT NULL,
  event_timestamp timestamptz NOT NULL,
  subject         text,
  properties      jsonb NOT NULL,
  lineage         text COLLATE "C" NOT NULL,
  position        text COLLATE "C" NOT NULL,
  arrival         bigint NOT NULL,
  content         bytea NOT NULL,
  PRIMARY KEY (tenant_id, idempotency_key)
) PARTITION BY HASH (tenant_id);
CREATE TABLE metering_events_0 PARTITION OF metering_events FOR VALUES WITH (MODULUS 8, REMAINDER 0);
CREATE TABLE metering_events_1 PARTITION OF metering_events FOR VALUES WITH (MODULUS 8, REMAINDER 1);
CREATE TABLE metering_events_2 PARTITION OF metering_events FOR VALUES WITH (MODULUS 8, REMAINDER 2);
CREATE TABLE metering_events_3 PARTITION OF metering_events FOR VALUES WITH (MODULUS 8, REMAINDER 3);
CREATE TABLE metering_events_4 PARTITION OF metering_events FOR VALUES WITH (MODULUS 8, REMAINDER 4);
CREATE TABLE metering_events_5 PARTITION OF metering_events FOR VALUES WITH (MODULUS 8, REMAINDER 5);
CREATE TABLE metering_events_6 PARTITION OF metering_events FOR VALUES WITH (MODULUS 8, REMAINDER 6);
CREATE TABLE metering_events_7 PARTITION OF metering_events FOR VALUES WITH (MODULUS 8, REMAINDER 7);
CREATE INDEX metering_events_newest ON metering_events (event_timestamp, tenant_id, idempotency_key);

-- What one segment adds to one (tenant, meter@version, minute, group). Written once, under deterministic keys.
CREATE TABLE partials (
  tenant_id    text COLLATE "C" NOT NULL,
  meter        text COLLATE "C" NOT NULL,
  minute       int NOT NULL,
  grp          text COLLATE "C" NOT NULL,
  lineage      text COLLATE "C" NOT NULL,
  segment      int NOT NULL,
  count        bigint NOT NULL,
  sum          numeric NOT NULL,
  min          numeric,
  max          numeric,
  latest_order text COLLATE "C",
  latest_value numeric,
  published_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, meter, minute, grp, lineage, segment)
);

-- The merge of a cell's partials: recomputed, never incremented.
CREATE TABLE rollups (
  tenant_id    text COLLATE "C" NOT NULL,
  meter        text COLLATE "C" NOT NULL,
  minute       int NOT NULL,
  grp          text COLLATE "C" NOT NULL,
  count        bigint NOT NULL DEFAULT 0,
  sum          numeric NOT NULL DEFAULT 0,
  min          numeric,
  max          numeric,
  latest_order text COLLATE "C",
  latest_value numeric,
  PRIMARY KEY (tenant_id, meter, minute, grp)
) WITH (fillfactor = 80);
CREATE INDEX rollups_of_meter ON rollups (meter, minute);

CREATE TABLE hour_partials (
  tenant_id  text COLLATE "C" NOT NULL,
  event_type text COLLATE "C" NOT NULL,
  hour       int NOT NULL,
  lineage    text COLLATE "C" NOT NULL,
  segment    int NOT NULL,
  total      numeric NOT NULL,
  count      bigint NOT NULL,
  PRIMARY KEY (tenant_id, event_type, hour, lineage, segment)
);

-- Months are made in a transaction before the one that needs them; there is no default partition.
CREATE TABLE usage_hourly (
  tenant_id      text COLLATE "C" NOT NULL,
  event_type     text COLLATE "C" NOT NULL,
  hour           timestamptz NOT NULL,
  total_quantity numeric NOT NULL DEFAULT 0,
  event_count    bigint NOT NULL DEFAULT 0,
  computed_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, event_type, hour)
) PARTITION BY RANGE (hour);

CREATE TABLE cuts (
  lineage  text COLLATE "C" PRIMARY KEY,
  segments int NOT NULL,
  position text COLLATE "C" NOT NULL,
  arrival  bigint NOT NULL
) WITH (fillfactor = 50);
