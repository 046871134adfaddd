-- Which process reads which lineage, where the log itself has no groups. Nothing is at stake in them: fences decide.
CREATE TABLE lineage_leases (
  lineage text PRIMARY KEY,
  owner text NOT NULL,
  until timestamptz NOT NULL
);
-- Processes that share the lineages.
CREATE TABLE lease_members (
  member text PRIMARY KEY,
  until timestamptz NOT NULL
);
