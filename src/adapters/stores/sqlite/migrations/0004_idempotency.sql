-- What callers marked with Idempotency-Key: the order it became, and its answer, sealed with a key made from the caller's own secret
-- and the mark, neither of which is stored.
CREATE TABLE idempotency(
  scope BLOB PRIMARY KEY CHECK(length(scope) = 32),
  fingerprint BLOB NOT NULL CHECK(length(fingerprint) = 32),
  order_id BLOB NOT NULL,
  expires_at INTEGER NOT NULL,
  answer BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_expiry ON idempotency(expires_at);
