-- Up Migration

-- When the record was put into the outbox once more. Null: never.
ALTER TABLE rejects ADD COLUMN redriven_at timestamptz;
-- What a redrive looks through, oldest first: it shrinks with every reject that went home.
CREATE INDEX rejects_waiting ON rejects (arrival, lineage, position, code)
  WHERE redriven_at IS NULL AND code <> 'KEY_CONFLICT';
