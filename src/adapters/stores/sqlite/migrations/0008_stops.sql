-- What a break is to stop (NULL: nothing), and since when that has been done. Until then every run tries again; what somebody takes
-- up again after that, knowing of the break, is not stopped for it a second time.
ALTER TABLE findings ADD COLUMN stops TEXT CHECK(stops = 'ledger' OR stops = 'wallet');
ALTER TABLE findings ADD COLUMN stopped_at INTEGER;
