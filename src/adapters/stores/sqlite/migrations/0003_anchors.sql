-- Signed statements that a block was the head of the chain (domain/ledger/anchor.rs). A copy of each goes outside the database.
CREATE TABLE anchors(
  n INTEGER PRIMARY KEY,
  ts INTEGER NOT NULL,
  block INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  head BLOB NOT NULL CHECK(length(head) = 32),
  prev BLOB NOT NULL CHECK(length(prev) = 32), -- hash of the anchor before
  public_key BLOB NOT NULL CHECK(length(public_key) = 32),
  signature BLOB NOT NULL CHECK(length(signature) = 64)
) STRICT;

CREATE TRIGGER anchors_no_update BEFORE UPDATE ON anchors BEGIN SELECT RAISE(ABORT, 'anchors are append-only'); END;
CREATE TRIGGER anchors_no_delete BEFORE DELETE ON anchors BEGIN SELECT RAISE(ABORT, 'anchors are append-only'); END;
