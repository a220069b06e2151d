//! Owns: settings of the money.

use crate::base::Ratio;
use crate::domain::ledger::Durability;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub struct LedgerSettings {
    /// `GOTOAI_LEDGER`: `off` makes a pure proxy that books nothing. Default on.
    pub on: bool,
    /// `GOTOAI_DURABILITY`, default strict.
    pub durability: Durability,
    /// `ledger.fee_percent`: the platform's share on top of the provider's cost. Default 0.
    pub fee: Ratio,
    /// `ledger.hold_seconds`: how long a hold may stay open. Default 15 minutes.
    pub hold_timeout: Duration,
}
