-- Up Migration

-- Which edge processors were in force, and from when: the last row of a name is what was used at the last start.
CREATE TABLE processors (
  id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name    text NOT NULL,
  version int, -- null: no longer used
  at      timestamptz NOT NULL DEFAULT now()
);

-- A keyed digest of the secret of the privacy rules: never the secret. Null until there is one.
ALTER TABLE installation ADD COLUMN privacy_secret text;
