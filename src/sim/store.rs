//! Owns: the ledger as the simulated process sees it: every submit is a point at which it may die, commits take time, the
//! disk may refuse them, and a sabotaged ledger does wrong on purpose.
//! Refuses to know: how commands are decided and kept (the store in memory).

use super::scenario::{Fault, Sabotage, call_of};
use super::world::{Process, Who};
use crate::adapters::stores::memory::{Batch, MemoryLedger};
use crate::base::{Error, ErrorKind, Money, OrderId, Result, Timestamp};
use crate::domain::identity::UserPath;
use crate::domain::ledger::{
    Command, EntryQuery, EventKind, Hash, Journal, Ledger, OrderReceipt, OrderState, Read, Recalled, Reply, Report, Settle, Ticket,
    UsageSource, WalletSummary,
};
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Store {
    pub(super) process: Process,
    pub(super) memory: Arc<MemoryLedger>,
}

impl Store {
    fn who(&self, command: &Command) -> (&'static str, Who) {
        let mut seen = self.process.world.seen();
        let of = |order: &OrderId| seen.calls.get(order).map_or(Who::Ledger, |n| Who::Call(*n));
        match command {
            Command::Operate(operation) => {
                (if operation.action.kind() == EventKind::WalletOpened { "submit open" } else { "submit top-up" }, Who::Operator)
            }
            Command::ExpireGrant { .. } => ("submit expire grant", Who::Sweeper),
            Command::Extend { order, .. } => ("submit extend", of(order)),
            Command::Dispatch { order, .. } => ("submit dispatch", of(order)),
            Command::Settle(settle) => ("submit settle", of(&settle.order)),
            Command::Expire { .. } => ("submit expire", Who::Sweeper),
            Command::Recover { .. } => ("submit recover", Who::Ledger),
            Command::Reserve(reserve) => {
                let n = call_of(&reserve.model).unwrap_or(u32::MAX);
                seen.calls.insert(reserve.order, n);
                ("submit reserve", Who::Call(n))
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
            tokio::time::sleep(Duration::from_millis(self.process.world.scenario.commit_ms(n))).await;
            let batch = self.memory.take();
            self.process.gate("commit", Who::Ledger).await;
            let mut answers = if self.process.world.scenario.refuses_commit(n) {
                self.refuse(&batch);
                self.memory.fail(batch, &Error::new(ErrorKind::LedgerUnavailable, "the disk is full"))
            } else {
                self.memory.commit(batch)
            };
            while !answers.is_empty() {
                self.process.gate("answer", Who::Ledger).await;
                answers.deliver_next();
                // The one who waited goes first: it may submit, or die, before the next one is told.
                tokio::task::yield_now().await;
            }
        }
    }

    fn refuse(&self, batch: &Batch) {
        self.process.count(Fault::DiskFull);
        self.process.note(Who::Ledger, || "the disk refuses the commit".to_owned());
        let mut seen = self.process.world.seen();
        for command in batch.commands() {
            if let Command::Settle(settle) = command {
                seen.unpromised.insert(settle.order);
            }
        }
    }

    /// What a sabotaged ledger does with a settlement; `None`: nothing special.
    fn spoil(&self, settle: &mut Settle) -> Option<Ticket> {
        let charge = settle.amounts.map(|amounts| amounts.charge).filter(|charge| !charge.is_zero())?;
        let state = match settle.usage_source {
            UsageSource::Estimated => OrderState::Provisional,
            UsageSource::Provider | UsageSource::Cache | UsageSource::None => OrderState::Finalized,
        };
        let answered = || {
            let (answer, ticket) = Ticket::new();
            let _ = answer.send(Ok(Reply::Settled { state, charge: Some(charge), duplicate: false }));
            ticket
        };
        match self.process.world.scenario.sabotage? {
            Sabotage::LostSettlement => Some(answered()),
            Sabotage::EarlyAnswer => {
                drop(self.memory.submit(Command::Settle(Box::new(settle.clone()))));
                Some(answered())
            }
            Sabotage::KeptHold => {
                let hold = self.memory.order(settle.order).ok().flatten().map(|receipt| receipt.order.hold)?;
                if let Some(amounts) = settle.amounts.as_mut().filter(|amounts| amounts.charge < hold) {
                    amounts.charge = hold;
                    amounts.fee = Money::nano(hold.as_nano() - amounts.pass_through.as_nano());
                }
                None
            }
            Sabotage::DoubleCharge => {
                let receipt = self.memory.order(settle.order).ok().flatten()?;
                let mut again = settle.clone();
                again.order = OrderId::new();
                drop(self.memory.submit(Command::Reserve(Box::new(reserve_again(&receipt, again.order)))));
                drop(self.memory.submit(Command::Settle(Box::new(again))));
                None
            }
        }
    }
}

fn reserve_again(receipt: &OrderReceipt, order: OrderId) -> crate::domain::ledger::Reserve {
    let reserve = &receipt.reserve;
    crate::domain::ledger::Reserve {
        order,
        wallet: Arc::clone(&receipt.wallet),
        key: None,
        user_path: UserPath::parse(&reserve.user_path).unwrap_or_else(|_| UserPath::root()),
        labels: Vec::new(),
        operation: "chat",
        model: (&*reserve.model).into(),
        endpoint: (&*reserve.endpoint).into(),
        provider: (&*reserve.provider).into(),
        hold: reserve.priced.then_some(receipt.order.hold),
        least: None,
        input_cost: receipt.order.input_cost,
        stream: reserve.stream,
        expires_at: receipt.order.expires_at,
        node: receipt.order.node,
        epoch: receipt.order.epoch,
        once: None,
    }
}

impl Ledger for Store {
    fn submit(&self, mut command: Command) -> Ticket {
        let (place, who) = self.who(&command);
        if !self.process.pass(place, who) {
            return self.process.never();
        }
        if let Command::Settle(settle) = &mut command
            && let Some(ticket) = self.spoil(settle)
        {
            return ticket;
        }
        self.memory.submit(command)
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
        self.memory.once(scope, now)
    }

    fn overdue(&self, now: Timestamp) -> Result<Vec<OrderId>> {
        self.memory.overdue(now)
    }

    fn verify(&self) -> Result<Report> {
        self.memory.verify()
    }

    fn close(&self) {
        self.memory.close();
    }
}
