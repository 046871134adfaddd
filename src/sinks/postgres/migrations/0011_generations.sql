-- Up Migration

-- Topics that are the log one after the other. None as long as the first one is the only one.
CREATE TABLE log_generations (
  generation int PRIMARY KEY CHECK (generation > 0),
  topic      text NOT NULL UNIQUE,
  -- Id of its first lineage.
  log        text NOT NULL,
  partitions int NOT NULL CHECK (partitions > 0),
  -- Whether producers write there. Not yet: the one before is being closed.
  is_open    boolean NOT NULL
);

-- Lineages that were closed, or are being closed.
CREATE TABLE log_ends (
  lineage  text COLLATE "C" PRIMARY KEY,
  -- Lies before every record that closes it.
  before   text COLLATE "C" NOT NULL,
  -- Where the first such record lies. Null: not looked for yet.
  position text COLLATE "C"
);
