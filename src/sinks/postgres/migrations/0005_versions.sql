-- Up Migration

-- Versions of the rule set: append-only. A version is in force from its control record of each lineage on.
CREATE TABLE rule_sets (
  version    int PRIMARY KEY CHECK (version > 0),
  body       text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Meter versions (`key@version`) that answer.
CREATE TABLE meters_serving (
  meter     text COLLATE "C" PRIMARY KEY,
  served_at timestamptz NOT NULL DEFAULT now()
);

-- How many segments of a lineage are filled into a meter version that began later.
CREATE TABLE meters_filled (
  meter    text COLLATE "C" NOT NULL,
  lineage  text COLLATE "C" NOT NULL,
  segments int NOT NULL,
  PRIMARY KEY (meter, lineage)
) WITH (fillfactor = 50);

-- The version in force at the start of a segment.
ALTER TABLE heads ADD COLUMN rules int NOT NULL DEFAULT 1;
ALTER TABLE manifest ADD COLUMN rules int NOT NULL DEFAULT 1;

-- The newest version that anything folded was measured under.
ALTER TABLE cuts ADD COLUMN rules int NOT NULL DEFAULT 1;

-- A unique count or the readings of a gauge: what the database does not add up.
ALTER TABLE partials ADD COLUMN state text;
ALTER TABLE rollups ADD COLUMN state text;
