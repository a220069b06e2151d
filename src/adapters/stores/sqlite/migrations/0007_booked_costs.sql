-- Where the cost of an order that was settled on an estimate was booked, so that evidence takes it from there.

ALTER TABLE orders ADD COLUMN cost_lost INTEGER NOT NULL DEFAULT 0;       -- part of cost: exp:loss:undelivered
ALTER TABLE orders ADD COLUMN cost_suspended INTEGER NOT NULL DEFAULT 0;  -- owed in suspense, not payable yet

-- Orders of before: as their settlements tell.
UPDATE orders SET cost_lost = min(cost, coalesce(
  (SELECT json_extract(CAST(j.payload AS TEXT), '$.loss_nano') FROM journal j WHERE j.seq = orders.final_seq), 0)) WHERE cost > 0;
UPDATE orders SET cost_suspended = EXISTS (SELECT 1 FROM postings p JOIN accounts a ON a.id = p.credit
  WHERE p.id BETWEEN orders.final_seq * 16 AND orders.final_seq * 16 + 15 AND p.code IN (22, 25) AND a.path LIKE 'prov:%:suspense') WHERE cost > 0;
