//! Owns: the ledger as the simulated process sees it: every submit is a point at which it may die, commits take time, the disk may
//! refuse them, fail to sync them, or forget what was not synced.
//! Refuses to know: how commands are decided and kept (the store in memory), and what a sabotaged ledger does (defect).

use super::defect;
use super::fault::Fault;
use super::mark::Mark;
use super::plan::Ask;
use super::sabotage::Sabotage;
use super::world::{Process, Who};
use crate::adapters::stores::memory::{Answers, Batch, MemoryLedger};
use crate::base::{Error, ErrorKind, OrderId, Result, Timestamp};
use crate::domain::ledger::{
    Command, EntryQuery, EventKind, Hash, Journal, Ledger, OrderReceipt, Read, Recalled, Report, Ticket, WalletSummary,
};
use std::sync::Arc;
use std::time::Duration;

/// After a failed sync the operator starts the process anew so much later.
const RESTART_AFTER: Duration = Duration::from_secs(10);
/// What a ledger that has stopped takes to say so.
const STOPPED_FOR: Duration = Duration::from_secs(1);

pub(super) struct Store {
    pub(super) process: Process,
    pub(super) memory: Arc<MemoryLedger>,
}

impl Store {
    fn who(&self, command: &Command) -> (&'static str, Who) {
        let mut seen = self.process.world.seen();
        let of = |order: &OrderId| seen.asks.get(order).map_or(Who::Ledger, |ask| Who::Call(*ask));
        match command {
            Command::Operate(operation) => (place_of(operation.action.kind()), Who::Operator),
            Command::ExpireGrant { .. } => ("submit expire grant", Who::Sweeper),
            Command::Extend { order, .. } => ("submit extend", of(order)),
            Command::Renew { order, .. } => ("submit renew", of(order)),
            Command::Dispatch { order, .. } => ("submit dispatch", of(order)),
            Command::Settle(settle) => ("submit settle", of(&settle.order)),
            Command::Expire { .. } => ("submit expire", Who::Sweeper),
            Command::Recover { .. } => ("submit recover", Who::Ledger),
            Command::Reserve(reserve) => {
                let ask = reserve.labels.first().and_then(|label| Ask::parse(label)).unwrap_or(Ask { call: u32::MAX, again: 0 });
                seen.asks.insert(reserve.order, ask);
                ("submit reserve", Who::Call(ask))
            }
        }
    }

    /// Takes what has queued, commits it, answers; until the process ends.
    pub(super) async fn commit_for_ever(self: Arc<Self>) {
        loop {
            self.memory.filled().await;
            let n = {
                let mut seen = self.process.world.seen();
                seen.commits += 1;
                seen.commits
            };
            let scenario = &self.process.world.scenario;
            let takes_ms = scenario.commit_ms(n);
            if takes_ms >= 1_000 {
                self.process.count(Fault::SlowDisk);
            }
            tokio::time::sleep(Duration::from_millis(takes_ms)).await;
            let batch = self.memory.take();
            self.process.gate("commit", Who::Ledger).await;
            if scenario.refuses_commit(n) {
                self.tell(Fault::DiskFull, &batch);
                let full = Error::new(ErrorKind::LedgerUnavailable, "the disk is full");
                self.answer(self.memory.fail(batch, &full)).await;
                continue;
            }
            let fails = scenario.fails_sync(n);
            if fails.is_some() {
                self.tell(Fault::SyncError, &batch);
            }
            let stopped = if scenario.faults.has(Fault::PowerCut) {
                self.commit_then_sync(batch, fails.is_some()).await
            } else {
                self.commit_synced(batch, fails).await
            };
            if let Some(error) = stopped {
                return self.stop(&error).await;
            }
        }
    }

    /// One step: what is committed is on the disk. The error says that the ledger has to stop.
    async fn commit_synced(&self, batch: Batch, fails: Option<bool>) -> Option<Error> {
        let Some(kept) = fails else {
            self.answer(self.memory.commit(batch)).await;
            return None;
        };
        let error = in_doubt();
        self.process.world.mark(if kept { Mark::SyncErrorKept } else { Mark::SyncErrorLost });
        let ignored = self.process.world.scenario.sabotage == Some(Sabotage::IgnoredSync);
        let answers = if ignored {
            let disk = &self.process.world.disk;
            disk.sync();
            let answers = self.memory.commit(batch);
            if !kept {
                disk.lose_unsynced();
            }
            answers
        } else if kept {
            self.memory.commit(batch).denied(&error)
        } else {
            MemoryLedger::refuse(batch, &error)
        };
        self.answer(answers).await;
        (!ignored).then_some(error)
    }

    /// Two steps: holds are answered at the commit, everything else once it is synced.
    async fn commit_then_sync(&self, batch: Batch, fails: bool) -> Option<Error> {
        let (held, rest) = self.memory.commit(batch).split();
        self.answer(held).await;
        let early = self.process.world.scenario.sabotage == Some(Sabotage::UnsyncedAnswer);
        let rest = if early {
            self.answer(rest).await;
            None
        } else {
            Some(rest)
        };
        tokio::time::sleep(Duration::from_millis(2)).await;
        self.process.gate("sync", Who::Ledger).await;
        let error = fails.then(in_doubt);
        if error.is_none() {
            self.process.world.disk.sync();
        }
        if let Some(rest) = rest {
            self.answer(match &error {
                Some(error) => rest.denied(error),
                None => rest,
            })
            .await;
        }
        error
    }

    async fn answer(&self, mut answers: Answers) {
        while !answers.is_empty() {
            self.process.gate("answer", Who::Ledger).await;
            answers.deliver_next();
            // The one who waited goes first: it may submit, or die, before the next one is told.
            tokio::task::yield_now().await;
        }
    }

    /// Nobody knows what is on the disk: everybody is told so until the operator starts a new process.
    async fn stop(&self, error: &Error) {
        let restart_at = tokio::time::Instant::now() + RESTART_AFTER;
        while tokio::time::timeout_at(restart_at, self.memory.filled()).await.is_ok() {
            tokio::time::sleep(STOPPED_FOR).await;
            let batch = self.memory.take();
            self.unpromise(&batch);
            self.answer(MemoryLedger::refuse(batch, error)).await;
            if tokio::time::Instant::now() >= restart_at {
                break;
            }
        }
        self.process.gate("restart", Who::Operator).await;
        self.process.kill();
        std::future::pending::<()>().await;
    }

    fn tell(&self, fault: Fault, batch: &Batch) {
        self.process.count(fault);
        let what = if fault == Fault::SyncError { "the sync fails, and the ledger stops" } else { "the disk refuses the commit" };
        self.process.note(Who::Ledger, || what.to_owned());
        self.unpromise(batch);
    }

    /// Whoever waits for these settlements is told that they are not booked yet.
    fn unpromise(&self, batch: &Batch) {
        let mut seen = self.process.world.seen();
        for command in batch.commands() {
            if let Command::Settle(settle) = command {
                seen.unpromised.insert(settle.order);
            }
        }
    }
}

fn in_doubt() -> Error {
    Error::new(ErrorKind::LedgerUnavailable, "the disk has failed to sync; the ledger has stopped")
}

/// The point at which the operator hands in something of this kind.
const fn place_of(kind: EventKind) -> &'static str {
    match kind {
        EventKind::WalletOpened | EventKind::TermsSet => "submit open",
        EventKind::TopUp => "submit top-up",
        EventKind::Grant => "submit grant",
        EventKind::Refund => "submit refund",
        EventKind::TrueUp => "submit true-up",
        EventKind::CashOut | EventKind::CashOutPaid | EventKind::CashOutFailed => "submit cash-out",
        EventKind::Chargeback => "submit chargeback",
        EventKind::WalletFrozen | EventKind::WalletThawed => "submit thaw",
        EventKind::AccountOpened
        | EventKind::Reserve
        | EventKind::Finalize
        | EventKind::LateSettle
        | EventKind::Release
        | EventKind::Expire
        | EventKind::Recover
        | EventKind::GrantExpired
        | EventKind::Extend
        | EventKind::PaidBack
        | EventKind::PaymentUnassigned
        | EventKind::PaymentAssigned
        | EventKind::Payout
        | EventKind::Invoice
        | EventKind::Adjust
        | EventKind::GapClosed => "submit other",
    }
}

impl Ledger for Store {
    fn submit(&self, command: Command) -> Ticket {
        let (place, who) = self.who(&command);
        if !self.process.pass(place, who) {
            return self.process.never();
        }
        match self.process.world.scenario.sabotage {
            Some(sabotage) => defect::spoil(self, sabotage, command),
            None => self.memory.submit(command),
        }
    }

    fn node(&self) -> (i64, i64) {
        self.memory.node()
    }

    fn order(&self, id: OrderId) -> Result<Option<OrderReceipt>> {
        self.memory.order(id)
    }

    fn wallet(&self, name: &str) -> Result<Option<WalletSummary>> {
        self.memory.wallet(name)
    }

    fn wallets(&self) -> Result<Vec<WalletSummary>> {
        self.memory.wallets()
    }

    fn entries(&self, query: &EntryQuery) -> Result<Vec<Journal>> {
        self.memory.entries(query)
    }

    fn once(&self, scope: Hash, now: Timestamp) -> Read<'_, Recalled> {
        Box::pin(async move {
            let recalled = self.memory.once(scope, now).await?;
            if let Some((known, _)) = &recalled
                && self.process.world.scenario.faults.has(Fault::PowerCut)
                && known.has_ended()
            {
                self.submit(Command::Expire { order: known.order }).wait().await?;
            }
            Ok(recalled)
        })
    }

    fn overdue(&self, now: Timestamp) -> Result<Vec<OrderId>> {
        self.memory.overdue(now)
    }

    fn orphans(&self, now: Timestamp) -> Result<Vec<OrderId>> {
        self.memory.orphans(now)
    }

    fn verify(&self) -> Result<Report> {
        self.memory.verify()
    }

    fn close(&self) {
        self.memory.close();
    }
}
