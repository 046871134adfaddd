-- Up Migration

CREATE TABLE installation (
  one         boolean PRIMARY KEY DEFAULT true CHECK (one),
  incarnation uuid NOT NULL,
  buckets     int NOT NULL,
  partitions  int NOT NULL,
  epoch_ms    bigint NOT NULL,
  meters      text NOT NULL,
  tenants     text NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now()
);

-- The row of the segment that is not sealed yet, one a lineage.
CREATE TABLE heads (
  lineage text COLLATE "C" PRIMARY KEY,
  segment int NOT NULL,
  start   text COLLATE "C" NOT NULL,
  format  int NOT NULL,
  arrival bigint NOT NULL,
  ended   boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

-- Sealed segments. An object without a row does not exist.
CREATE TABLE manifest (
  lineage        text COLLATE "C" NOT NULL,
  segment        int NOT NULL,
  start          text COLLATE "C" NOT NULL,
  "end"          text COLLATE "C" NOT NULL,
  format         int NOT NULL,
  arrival        bigint NOT NULL,
  end_arrival    bigint NOT NULL,
  object_key     text,
  object_sha256  text,
  object_bytes   bigint,
  records        int NOT NULL,
  ok             int NOT NULL,
  first_ok       bigint,
  last_ok        bigint,
  sealed_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (lineage, segment)
);
CREATE UNIQUE INDEX manifest_end ON manifest (lineage, "end", segment);
CREATE INDEX manifest_first_ok ON manifest (lineage, first_ok, segment) WHERE first_ok IS NOT NULL;

CREATE TABLE rejects (
  lineage    text COLLATE "C" NOT NULL,
  position   text COLLATE "C" NOT NULL,
  code       text NOT NULL,
  field      text,
  reason     text NOT NULL,
  arrival    bigint NOT NULL,
  key        text,
  tenant_id  text COLLATE "C",
  event_type text,
  value      bytea NOT NULL,
  PRIMARY KEY (lineage, position, code)
);
CREATE INDEX rejects_newest ON rejects (arrival DESC, lineage DESC, position DESC);

-- Misrouted records on their way home.
CREATE TABLE outbox (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  routing_key text NOT NULL,
  value       bytea NOT NULL
);
