-- Indexes for what is read while the books grow.

-- True-ups and closed bills: few among many.
CREATE INDEX journal_corrections ON journal(kind) WHERE kind = 41 OR kind = 81;

-- What an order went through beside its beginning and its usual end. The usual entries are in no index: they are found from the order's
-- row, and each costs a call nothing here.
CREATE INDEX journal_unusual ON journal(order_id) WHERE kind = 11 OR kind = 21 OR kind = 31 OR kind = 32 OR kind = 40 OR kind = 41;

-- Spend that is not known yet: few orders of a wallet, and never for long.
CREATE INDEX orders_uncertain ON orders(wallet_id, state) WHERE state = 5 OR state = 7;

CREATE INDEX findings_seen ON findings(last_seen);

-- All that has crossed a wallet's border beside charges: top-ups, grants and their ends, money out. Changed by cold commands only; less
-- what the wallet has now, it is what was spent.
ALTER TABLE wallets ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;
UPDATE wallets SET moved =
  coalesce((SELECT sum(b.credits - b.debits) FROM accounts a JOIN balances b ON b.account_id = a.id
            WHERE a.path >= 'wallet:' || name || ':' AND a.path < 'wallet:' || name || ';'), 0)
  + coalesce((SELECT sum(charge - refunded) FROM orders WHERE wallet_id = wallets.id), 0);
