-- What reconciliation has done and found, and what was done about it.

-- Quiet runs of one process in a row are one row. While its lease lasts, no other process needs to run.
CREATE TABLE recon_runs(
  id INTEGER PRIMARY KEY,
  owner TEXT NOT NULL,              -- a process
  whole INTEGER NOT NULL,           -- 1: from the first entry
  runs INTEGER NOT NULL DEFAULT 1,
  started_at INTEGER NOT NULL,
  finished_at INTEGER NOT NULL,
  lease_until INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  findings INTEGER NOT NULL,
  opened INTEGER NOT NULL           -- findings that were not known before
) STRICT;

-- One row a cause, kept for ever. Amounts are text: evidence is not for arithmetic.
CREATE TABLE findings(
  id TEXT PRIMARY KEY,
  level INTEGER NOT NULL,           -- 0: the books in themselves; 1: against a provider's files
  check_id TEXT NOT NULL,
  severity TEXT NOT NULL CHECK(severity IN ('critical', 'high', 'medium')),
  subject TEXT NOT NULL,
  detail TEXT NOT NULL,
  expected TEXT,
  actual TEXT,
  drift TEXT,                       -- nano-units
  order_id TEXT,
  account TEXT,
  wallet TEXT,
  evidence TEXT NOT NULL CHECK(json_valid(evidence)),
  remedy TEXT NOT NULL CHECK(json_valid(remedy)),
  status TEXT NOT NULL CHECK(status IN ('open', 'acknowledged', 'repaired', 'gone')),
  opened_at INTEGER NOT NULL,       -- when it came, or came again
  first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  seen INTEGER NOT NULL,
  actor TEXT,
  note TEXT,
  acted_at INTEGER,
  repair_op TEXT,
  repair_seq INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX findings_status ON findings(status, last_seen);
