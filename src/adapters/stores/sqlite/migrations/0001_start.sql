-- No list (IN) in a CHECK of the hot tables: SQLite builds a temporary B-tree for it at every evaluation.
-- gotoai, SQLite >= 3.37 (STRICT). Amounts: INTEGER nano-units (10^-9 of the currency). Times: INTEGER milliseconds since 1970, UTC.
-- The journal, its postings, the blocks and the price sheets are append-only; orders, balances and wallets are projections of them.

CREATE TABLE accounts(
  id INTEGER PRIMARY KEY,
  path TEXT NOT NULL UNIQUE,
  class INTEGER NOT NULL CHECK(class BETWEEN 1 AND 5), -- 1 asset 2 liability 3 equity 4 income 5 expense
  guard INTEGER NOT NULL                               -- 1: debits <= credits, 2: credits <= debits
) STRICT;

CREATE TABLE balances(
  account_id INTEGER PRIMARY KEY REFERENCES accounts(id),
  debits INTEGER NOT NULL CHECK(debits >= 0),
  credits INTEGER NOT NULL CHECK(credits >= 0),
  guard INTEGER NOT NULL,
  CHECK((guard & 1) = 0 OR debits <= credits),
  CHECK((guard & 2) = 0 OR credits <= debits)
) STRICT;

CREATE TABLE wallets(
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK(kind IN ('prepaid', 'postpaid')),
  credit_limit INTEGER CHECK(credit_limit >= 0),
  frozen INTEGER NOT NULL DEFAULT 0 CHECK(frozen IN (0, 1)),
  cash INTEGER NOT NULL REFERENCES accounts(id),
  held INTEGER NOT NULL REFERENCES accounts(id),
  receivable INTEGER NOT NULL REFERENCES accounts(id)
) STRICT;

CREATE TABLE price_sheets(
  hash BLOB PRIMARY KEY CHECK(length(hash) = 32),
  sheet TEXT NOT NULL CHECK(json_valid(sheet))
) STRICT, WITHOUT ROWID;

CREATE TABLE orders(
  id BLOB PRIMARY KEY CHECK(length(id) = 16),
  wallet_id INTEGER NOT NULL REFERENCES wallets(id),
  state INTEGER NOT NULL CHECK(state BETWEEN 0 AND 7 AND state <> 6), -- 0 reserved 1 finalized 2 released 3 expired 4 late-settled 5 provisional 7 unpriced
  hold INTEGER NOT NULL CHECK(hold >= 0),
  hold_source INTEGER NOT NULL,                                 -- 0 cash 1 receivable
  charge INTEGER CHECK(charge >= 0),
  pass_through INTEGER,
  fee INTEGER,
  cost INTEGER,
  overrun INTEGER NOT NULL DEFAULT 0,
  provider TEXT NOT NULL,
  input_cost INTEGER NOT NULL,
  attempts TEXT,                                                -- noted before dispatch, while open
  node INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  reserve_seq INTEGER NOT NULL,
  final_seq INTEGER,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  finished_at INTEGER,
  CHECK(charge IS NULL OR charge = pass_through + fee),
  CHECK(charge IS NOT NULL OR (state <> 1 AND state <> 4 AND state <> 5))
) STRICT, WITHOUT ROWID;
CREATE INDEX orders_open ON orders(expires_at) WHERE state = 0;
CREATE INDEX orders_wallet ON orders(wallet_id, reserve_seq);

CREATE TABLE journal(
  seq INTEGER PRIMARY KEY,
  kind INTEGER NOT NULL,
  order_id BLOB,
  op_id BLOB,
  ts INTEGER NOT NULL,
  payload BLOB NOT NULL,
  leaf BLOB NOT NULL CHECK(length(leaf) = 32)
) STRICT;

CREATE TABLE postings(
  id INTEGER PRIMARY KEY, -- seq * 16 + line
  debit INTEGER NOT NULL,
  credit INTEGER NOT NULL,
  amount INTEGER NOT NULL CHECK(amount > 0),
  code INTEGER NOT NULL,
  CHECK(debit <> credit)
) STRICT;

CREATE TABLE blocks(
  n INTEGER PRIMARY KEY,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  prev BLOB NOT NULL,
  root BLOB NOT NULL,
  hash BLOB NOT NULL,
  ts INTEGER NOT NULL
) STRICT;

-- Cold commands: the same id gets the same answer. And reserves that were refused, under their order's id, for people to read.
CREATE TABLE ops(
  id BLOB PRIMARY KEY CHECK(length(id) = 16),
  fingerprint BLOB NOT NULL CHECK(length(fingerprint) = 32),
  refusal TEXT,
  seq INTEGER NOT NULL,
  ts INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A node is one process that reserves; its epoch grows at every start.
CREATE TABLE nodes(
  node INTEGER PRIMARY KEY,
  epoch INTEGER NOT NULL,
  started_at INTEGER NOT NULL
) STRICT;

CREATE TABLE keys(
  id BLOB PRIMARY KEY CHECK(length(id) = 16),
  digest BLOB NOT NULL UNIQUE CHECK(length(digest) = 32),
  name TEXT NOT NULL,
  hint TEXT NOT NULL,
  scopes TEXT NOT NULL,
  models TEXT NOT NULL CHECK(json_valid(models)),
  user_path TEXT NOT NULL,
  wallet TEXT NOT NULL,
  mode TEXT,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER
) STRICT, WITHOUT ROWID;

-- Grows with every change of keys or switches, so that running gateways notice.
CREATE TABLE control(
  k TEXT PRIMARY KEY,
  v TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO control VALUES ('version', '1');

-- The last model list each provider gave, to serve from when it is down at the next start.
CREATE TABLE model_lists(
  provider TEXT PRIMARY KEY,
  models TEXT NOT NULL CHECK(json_valid(models)),
  fetched_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER postings_no_update BEFORE UPDATE ON postings BEGIN SELECT RAISE(ABORT, 'postings are append-only'); END;
CREATE TRIGGER postings_no_delete BEFORE DELETE ON postings BEGIN SELECT RAISE(ABORT, 'postings are append-only'); END;
CREATE TRIGGER blocks_no_update BEFORE UPDATE ON blocks BEGIN SELECT RAISE(ABORT, 'blocks are append-only'); END;
CREATE TRIGGER blocks_no_delete BEFORE DELETE ON blocks BEGIN SELECT RAISE(ABORT, 'blocks are append-only'); END;
CREATE TRIGGER price_sheets_no_update BEFORE UPDATE ON price_sheets BEGIN SELECT RAISE(ABORT, 'price sheets are append-only'); END;
CREATE TRIGGER price_sheets_no_delete BEFORE DELETE ON price_sheets BEGIN SELECT RAISE(ABORT, 'price sheets are append-only'); END;
CREATE TRIGGER orders_no_delete BEFORE DELETE ON orders BEGIN SELECT RAISE(ABORT, 'orders are never deleted'); END;
-- No trigger on UPDATE of orders: it would make every settlement a two-pass update over a temporary table, twice the cost of
-- the rest of it. The writer's own statement names the transitions that are allowed, and verification finds any other.

-- For readers with plain SQL: one row an order, with what its entries tell. Amounts stay integers (nano-units).
CREATE VIEW order_details AS
SELECT 'ord_' || lower(hex(o.id)) AS id, w.name AS wallet, o.state, o.hold, o.charge, o.pass_through, o.fee, o.cost,
  json_extract(r.payload, '$.operation') AS operation, json_extract(r.payload, '$.model') AS model,
  json_extract(r.payload, '$.user_path') AS user_path, json_extract(r.payload, '$.key') AS key_id,
  coalesce(json_extract(f.payload, '$.endpoint'), json_extract(r.payload, '$.endpoint')) AS endpoint,
  json_extract(f.payload, '$.usage') AS usage, json_extract(f.payload, '$.usage_source') AS usage_source,
  json_extract(f.payload, '$.finish') AS finish, o.created_at, o.finished_at
FROM orders o JOIN wallets w ON w.id = o.wallet_id JOIN journal r ON r.seq = o.reserve_seq LEFT JOIN journal f ON f.seq = o.final_seq;
