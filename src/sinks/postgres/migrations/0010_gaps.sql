-- Up Migration

-- Of a segment that was cut short: the log had let go of what lies from here to its end before it was read.
ALTER TABLE manifest
  ADD COLUMN gap_from   text COLLATE "C",
  -- At most so many records are missing. Null: the log cannot tell.
  ADD COLUMN gap_places bigint,
  -- When it was found, ms since 1970.
  ADD COLUMN gap_at     bigint,
  -- Counts the gaps of the lineage, from 1.
  ADD COLUMN gap_number int;
CREATE INDEX manifest_gaps ON manifest (lineage, segment) WHERE gap_from IS NOT NULL;

-- Gaps that an operator knows of.
CREATE TABLE gaps_acknowledged (
  lineage text COLLATE "C" NOT NULL,
  segment int NOT NULL,
  at      bigint NOT NULL,
  note    text NOT NULL,
  PRIMARY KEY (lineage, segment)
);

-- How many gaps of the lineage are folded.
ALTER TABLE cuts ADD COLUMN gaps int NOT NULL DEFAULT 0;
