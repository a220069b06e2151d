-- Indexes for what is read while the books grow.

-- True-ups and closed bills: few among many.
CREATE INDEX journal_corrections ON journal(kind) WHERE kind = 41 OR kind = 81;
