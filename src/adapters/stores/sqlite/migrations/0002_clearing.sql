-- The clearinghouse: terms, grants, refunds, builders, budgets, and what is to be told to others.

ALTER TABLE wallets ADD COLUMN terms TEXT NOT NULL DEFAULT '{}' CHECK(json_valid(terms));

ALTER TABLE orders ADD COLUMN parts TEXT;                              -- hold_source 2: [[account, amount], ...] in the order of spending
ALTER TABLE orders ADD COLUMN counted TEXT;                            -- budget windows that count it
ALTER TABLE orders ADD COLUMN builder TEXT;
ALTER TABLE orders ADD COLUMN builder_fee INTEGER NOT NULL DEFAULT 0;  -- part of fee
ALTER TABLE orders ADD COLUMN refunded INTEGER NOT NULL DEFAULT 0;

CREATE TABLE grants(
  wallet_id INTEGER NOT NULL REFERENCES wallets(id),
  name TEXT NOT NULL,
  account INTEGER NOT NULL REFERENCES accounts(id),
  priority INTEGER NOT NULL,
  expires_at INTEGER,
  PRIMARY KEY(wallet_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_expiry ON grants(expires_at) WHERE expires_at IS NOT NULL;

-- Control plane: a scope's members that are NULL fit every call.
CREATE TABLE budgets(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  key_id TEXT,
  user_path TEXT,
  wallet TEXT,
  model TEXT,
  label TEXT,
  period TEXT NOT NULL CHECK(json_valid(period)),
  unit TEXT NOT NULL,
  cap INTEGER NOT NULL CHECK(cap >= 0),
  hard_status INTEGER,        -- NULL: soft
  alert_percent INTEGER,
  created_at INTEGER NOT NULL,
  removed_at INTEGER
) STRICT;
CREATE UNIQUE INDEX budgets_name ON budgets(name) WHERE removed_at IS NULL;

-- A projection of the orders, changed in the reserve's own transaction. A new period is a new row.
CREATE TABLE budget_windows(
  budget_id INTEGER NOT NULL REFERENCES budgets(id),
  start INTEGER NOT NULL,
  held INTEGER NOT NULL CHECK(held >= 0),
  spent INTEGER NOT NULL CHECK(spent >= 0),
  alerted INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(budget_id, start)
) STRICT, WITHOUT ROWID;

-- What is to be told to others; delivered by a task of its own, with retries.
CREATE TABLE outbox(
  id INTEGER PRIMARY KEY,
  topic TEXT NOT NULL,
  dedupe TEXT NOT NULL UNIQUE,
  payload TEXT NOT NULL CHECK(json_valid(payload)),
  created_at INTEGER NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0,
  next_at INTEGER NOT NULL,
  delivered_at INTEGER
) STRICT;
CREATE INDEX outbox_due ON outbox(next_at) WHERE delivered_at IS NULL;
