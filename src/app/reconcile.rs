//! Owns: reconciliation of the books in themselves (level 0) as a task: when it runs, what it remembers between runs, and what
//! follows: rows, metrics, frozen wallets, a frozen ledger, and an alarm when nobody reconciles any more.
//! Refuses to know: what is checked (domain/ledger/verify), how people are told (alerts).

use super::Gateway;
use super::gateway::op_id;
use crate::adapters::stores::sqlite::{BrokenWallet, Inspector, Recorded, Run};
use crate::base::{KeyId, Result, Timestamp};
use crate::domain::ledger::{Action, Check, Command, Finding, Ledger, Operation, Reply, Report, Subject, WalletName};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

/// Another process takes over so long after a run of this one was due.
const LEASE_GRACE: Duration = Duration::from_secs(5);
/// Silence is told only after this long beyond two periods.
const SILENCE_GRACE: Duration = Duration::from_secs(10);
/// What was delivered is forgotten after this long.
const MESSAGES_KEPT_MS: i64 = 90 * 86_400_000;

/// What is kept between runs.
pub(super) struct Reconciler {
    /// Names this process in the file.
    owner: String,
    kept: Mutex<Option<Inspector>>,
    /// When the run under way, or the last one, last made progress.
    progress_ms: AtomicI64,
    /// When somebody last reconciled, as far as this process knows.
    ran_ms: AtomicI64,
    silent: AtomicBool,
}

/// One run's outcome.
pub(super) struct Reconciled {
    pub(super) whole: bool,
    pub(super) report: Report,
    pub(super) recorded: Recorded,
}

impl Reconciler {
    pub(super) fn new(now: Timestamp) -> Self {
        let owner = KeyId::new().to_string();
        Self {
            owner,
            kept: Mutex::default(),
            progress_ms: AtomicI64::new(now.0),
            ran_ms: AtomicI64::new(0),
            silent: AtomicBool::new(false),
        }
    }
}

impl Gateway {
    /// Reconciles now: what is new since the last run of this process, or everything. `None` when the gateway was closed on the
    /// way. Blocks on the store.
    pub(super) fn reconcile(&self, whole: bool) -> Result<Option<Reconciled>> {
        let mut kept = self.reconciler.kept.lock();
        let mut inspector = match kept.take() {
            Some(inspector) => inspector,
            None => Inspector::new(&self.database)?,
        };
        let whole = whole || inspector.is_fresh();
        let started_at = self.clock.now();
        let stopped = || {
            self.reconciler.progress_ms.store(self.clock.now().0, Ordering::Relaxed);
            self.is_closed()
        };
        let evidence = if whole { Some(self.anchor_evidence()?) } else { None };
        let Some(report) = inspector.run(evidence.as_ref(), started_at, &stopped)? else { return Ok(None) };
        // One that only administers comes and goes.
        let lease = self.settings.ledger.reconcile_every.filter(|_| !self.offline).map_or(Duration::ZERO, |period| period + LEASE_GRACE);
        let run = Run {
            owner: &self.reconciler.owner,
            whole,
            started_at,
            finished_at: self.clock.now(),
            lease,
            last_seq: inspector.last_seq(),
            freeze: self.settings.ledger.freeze_on_break,
        };
        let recorded = self.database.record_run(&run, &report)?;
        *kept = Some(inspector).filter(|_| !self.offline);
        drop(kept);
        self.follow_up(&report, &recorded, whole)?;
        Ok(Some(Reconciled { whole, report, recorded }))
    }

    /// At close: others need not wait for the lease to end.
    pub(super) fn release_reconciliation(&self) {
        if let Err(error) = self.database.release_lease(&self.reconciler.owner) {
            tracing::warn!(%error, "the lease of the reconciliation could not be given back; it ends by itself");
        }
    }

    fn follow_up(&self, report: &Report, recorded: &Recorded, whole: bool) -> Result<()> {
        let now = self.clock.now();
        self.reconciler.progress_ms.store(now.0, Ordering::Relaxed);
        self.reconciler.ran_ms.store(now.0, Ordering::Relaxed);
        for broken in &recorded.broken_wallets {
            self.freeze_wallet(broken)?;
        }
        if recorded.froze {
            self.reload_frozen()?;
        }
        if self.reconciler.silent.swap(false, Ordering::Relaxed) {
            self.database.record_silence(None, now)?;
        }
        if whole {
            self.database.forget_messages(Timestamp(now.0 - MESSAGES_KEPT_MS))?;
        }
        self.measure(report)
    }

    /// A break within one wallet stops that wallet only. Once a break: where that cannot be, the next run tries again.
    fn freeze_wallet(&self, broken: &BrokenWallet) -> Result<()> {
        let BrokenWallet { wallet, finding, opened_at } = broken;
        let operation = Operation {
            op: op_id(&["freeze_on_break", wallet, finding, &opened_at.0.to_string()]),
            actor: "reconciliation".into(),
            reference: finding.as_str().into(),
            action: Action::Freeze(WalletName { wallet: Arc::clone(wallet) }),
        };
        match self.ledger.submit(Command::Operate(Box::new(operation))).wait_blocking() {
            Ok(Reply::Done { .. }) => {
                tracing::error!(%wallet, finding, "its books do not add up; the wallet is frozen");
                return self.database.wallet_stopped(broken, self.clock.now());
            }
            Ok(reply @ (Reply::Refused(_) | Reply::Held { .. } | Reply::Settled { .. })) => {
                tracing::error!(%wallet, finding, ?reply, "its books do not add up, and the wallet could not be frozen; tried again");
            }
            Err(error) => {
                tracing::error!(%wallet, finding, %error, "its books do not add up, and the wallet could not be frozen; tried again");
            }
        }
        Ok(())
    }

    fn measure(&self, report: &Report) -> Result<()> {
        let gauges = &self.metrics.ledger;
        gauges.set_findings(self.database.finding_counts()?);
        let mut drift: BTreeMap<String, i64> = BTreeMap::new();
        for finding in report.all() {
            let sum = drift.entry(finding.check.id()).or_default();
            *sum = sum.saturating_add(finding.drift_nano.unwrap_or(0).saturating_abs());
        }
        gauges.set_drift(drift.into_iter().filter(|(_, nano)| *nano > 0));
        let settled = report.settled.max(1);
        gauges.provisional_ratio.set(report.provisional as f64 / settled as f64);
        for (age, count) in self.database.open_holds(self.clock.now())? {
            gauges.set_open_holds(age, count);
        }
        gauges.wal_bytes.set(self.database.wal_bytes());
        Ok(())
    }

    /// Why new calls are stopped, for the gate and for people.
    pub(super) fn reload_frozen(&self) -> Result<()> {
        let frozen = self.database.frozen()?;
        self.metrics.ledger.frozen.set(i64::from(frozen.is_some()));
        // Callers are told nothing of accounts and tenants.
        self.pipeline.frozen.store(frozen.map(|frozen| Arc::new(format!("since {} by finding {}", frozen.since, frozen.finding))));
        Ok(())
    }

    /// Seconds since somebody reconciled.
    pub(super) fn reconciled_age(&self) -> Option<i64> {
        let last = self.reconciler.ran_ms.load(Ordering::Relaxed);
        (last > 0).then(|| (self.clock.now().0 - last).div_euclid(1000).max(0))
    }

    /// A run of the task, if it is this process's turn.
    fn reconcile_in_turn(&self) -> Result<()> {
        let now = self.clock.now();
        let (last, last_whole) = self.database.last_runs()?;
        if self.database.is_leased(&self.reconciler.owner, now)? {
            self.reconciler.ran_ms.store(last.unwrap_or_default().0, Ordering::Relaxed);
            return Ok(());
        }
        let is_due = |every: Duration| last_whole.is_none_or(|last| last.plus(every) <= now);
        let whole = self.settings.ledger.reconcile_whole_every.is_some_and(is_due);
        let Some(done) = self.reconcile(whole)? else { return Ok(()) };
        if !done.recorded.opened.is_empty() {
            tracing::error!(findings = done.recorded.opened.len(), whole = done.whole, "reconciliation has found something");
        }
        Ok(())
    }

    /// Watches the watcher: two periods without any run are a finding of their own.
    fn watch_silence(&self, period: Duration) -> Result<()> {
        let now = self.clock.now();
        let last = self.database.last_runs()?.0.unwrap_or_default().0.max(self.reconciler.progress_ms.load(Ordering::Relaxed));
        if Timestamp(last).plus(period * 2 + SILENCE_GRACE) >= now || self.reconciler.silent.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let detail = format!("nobody has reconciled since {}, and it is due every {} seconds", Timestamp(last), period.as_secs());
        self.database.record_silence(Some(&Finding::new(Check::R25, Subject::Ledger, detail)), now)?;
        self.metrics.ledger.set_findings(self.database.finding_counts()?);
        Ok(())
    }
}

/// One turn of the task.
pub(super) async fn turn(gateway: Arc<Gateway>) {
    match tokio::task::spawn_blocking(move || gateway.reconcile_in_turn()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, cause = error.cause, "the books cannot be reconciled"),
        Err(panic) => tracing::error!(%panic, "reconciliation ended by panic"),
    }
}

/// One look at whether the task still runs.
pub(super) async fn watch(gateway: Arc<Gateway>) {
    let Some(period) = gateway.settings.ledger.reconcile_every else { return };
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || gateway.watch_silence(period)).await {
        tracing::error!(%error, "it cannot be told whether the books are reconciled");
    }
}
