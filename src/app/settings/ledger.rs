//! Owns: settings of the money.

use crate::base::Ratio;
use crate::domain::catalog::MarkupRule;
use crate::domain::ledger::Durability;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct LedgerSettings {
    /// `GOTOAI_LEDGER`: `off` makes a pure proxy that books nothing. Default on.
    pub on: bool,
    /// `GOTOAI_DURABILITY`, default strict.
    pub durability: Durability,
    /// `ledger.fee_percent`: the platform's share on top of the provider's cost. Default 0.
    pub fee: Ratio,
    /// `ledger.markup`: what goes before the fee, by provider and model.
    pub markup: Vec<MarkupRule>,
    /// `ledger.hold_seconds`: how long a hold may stay open. Default 15 minutes.
    pub hold_timeout: Duration,
}
