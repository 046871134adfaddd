-- Up Migration

-- The newest event_timestamp of an `ok` event of the segment, microseconds: a start need not read what holds only old ones.
ALTER TABLE manifest ADD COLUMN newest bigint;
