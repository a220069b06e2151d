//! Floor 2, ledger: money facts.
