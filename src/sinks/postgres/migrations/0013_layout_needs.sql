-- Up Migration

-- The step that a version has to know to use this layout; later steps it need not know, so that the version before runs on
-- beside the new one. A step that takes away, or changes the meaning of, what versions before it use writes its own name here.
CREATE TABLE layout_needs (
  one  boolean PRIMARY KEY DEFAULT true CHECK (one),
  step text COLLATE "C" NOT NULL
);
INSERT INTO layout_needs (step) VALUES ('0013_layout_needs');
