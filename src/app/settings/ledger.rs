//! Owns: settings of the money.

use crate::base::{Ratio, Secret};
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
    /// `ledger.reconcile_seconds`: how often the books are reconciled in themselves. Default 30 seconds; `None`: not at all.
    pub reconcile_every: Option<Duration>,
    /// `ledger.reconcile_full_hours`: how often from the first entry. Default a day; `None`: only at the start.
    pub reconcile_whole_every: Option<Duration>,
    /// `ledger.freeze_on_break`: a broken identity stops new calls. Default on.
    pub freeze_on_break: bool,
}

/// Where alerts go besides the log.
#[derive(Clone, Debug, Default)]
pub struct AlertSettings {
    /// `alerts.webhook_url` and `alerts.webhook_secret`.
    pub webhook: Option<(String, Secret)>,
}
