-- Up Migration

-- The log: N partitions, dense positions under the lock of the partition's row.
CREATE TABLE log_streams (
  one        boolean PRIMARY KEY DEFAULT true CHECK (one),
  id         uuid NOT NULL,
  partitions int NOT NULL CHECK (partitions > 0),
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE log_partitions (
  lineage        text COLLATE "C" PRIMARY KEY,
  partition      int NOT NULL UNIQUE,
  -- What lies before it is trimmed.
  first_position bigint NOT NULL DEFAULT 0,
  next_position  bigint NOT NULL DEFAULT 0 CHECK (next_position >= first_position),
  last_arrival   bigint NOT NULL DEFAULT 0,
  -- Takes no more records.
  ended          boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

CREATE TABLE log_records (
  lineage  text COLLATE "C" NOT NULL,
  position bigint NOT NULL,
  arrival  bigint NOT NULL,
  -- 0: an event; 1: a control record, whose value is its JSON
  kind     smallint NOT NULL,
  key      text,
  value    bytea NOT NULL,
  PRIMARY KEY (lineage, position)
);
