//! Owns: settings of the money and of its proof.

use crate::base::{Ratio, Secret};
use crate::domain::catalog::MarkupRule;
use crate::domain::ledger::Durability;
use std::path::PathBuf;
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
    /// `ledger.hold_seconds`: how long a hold stays unless its call is still under way. Default 15 minutes.
    pub hold_timeout: Duration,
    /// `ledger.answer_hours`: how long a request's `Idempotency-Key` is remembered, and its answer kept. Default 24.
    pub answer_lifetime: Duration,
    /// `ledger.answer_limit_bytes`: larger answers are not kept; 0 keeps none. Default 1 MiB.
    pub answer_limit_bytes: usize,
    /// `ledger.reconcile_seconds`: how often the books are reconciled in themselves. Default 30 seconds; `None`: not at all.
    pub reconcile_every: Option<Duration>,
    /// `ledger.reconcile_full_hours`: how often from the first entry. Default a day; `None`: only at the start.
    pub reconcile_whole_every: Option<Duration>,
    /// `ledger.freeze_on_break`: a broken identity stops new calls. Default on.
    pub freeze_on_break: bool,
    /// `ledger.anchor_minutes`: how often the head of the chain is signed when it moved. Default 15 minutes, `None` = off.
    pub anchor_every: Option<Duration>,
    /// `ledger.anchor_key`: the file of the signing key, made at first need. Default beside the database.
    pub anchor_key: PathBuf,
    /// `ledger.anchor_file`: a copy of every anchor, best on another machine. Default beside the database.
    pub anchor_file: PathBuf,
}

/// Who may tell of payments.
#[derive(Clone, Debug, Default)]
pub struct PaymentSettings {
    /// `payments.stripe_webhook_secret`: any of them signs Stripe's events. None: there is no webhook.
    pub stripe_secrets: Vec<Secret>,
    /// `payments.stripe_test_mode`: events of Stripe's test mode are booked, too. Default off.
    pub stripe_test_mode: bool,
}

/// Where alerts go besides the log.
#[derive(Clone, Debug, Default)]
pub struct AlertSettings {
    /// `alerts.webhook_url` and `alerts.webhook_secret`.
    pub webhook: Option<(String, Secret)>,
}
