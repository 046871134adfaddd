-- Up Migration

-- `beat` is counted on by the scheduler, which tells the speed store of it: where that has heard of a later one than is here, this
-- database was put back to an earlier state. `restores` and a new `incarnation` give the live counters names that were never used.
ALTER TABLE installation ADD COLUMN IF NOT EXISTS beat bigint NOT NULL DEFAULT 0;
ALTER TABLE installation ADD COLUMN IF NOT EXISTS restores int NOT NULL DEFAULT 0;
ALTER TABLE installation ADD COLUMN IF NOT EXISTS restored_at timestamptz;
