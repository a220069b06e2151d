//! Owns: the ledger in memory as these tests use it: one command, one commit, and what it moved.

use gotoai::adapters::stores::memory::{Disk, MemoryLedger};
use gotoai::base::{Clock, OrderId, Timestamp};
use gotoai::domain::ledger::{Command, EntryQuery, Journal, Ledger, OrderReceipt, Reply, Report, WalletSummary};
use gotoai::domain::risk::{Budget, BudgetStore};
use std::collections::BTreeMap;

pub(crate) struct Memory {
    clock: Clock,
    disk: Disk,
    ledger: MemoryLedger,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self::at(Timestamp(1_000_000))
    }

    pub(crate) fn at(now: Timestamp) -> Self {
        let clock = Clock::manual(now);
        let disk = Disk::default();
        Self { ledger: MemoryLedger::open(&disk, &clock), clock, disk }
    }

    pub(crate) fn limit(&self, budget: Budget) {
        self.ledger.insert_budget(budget, self.clock.now()).unwrap();
    }

    /// The process ends and another one starts, which settles what was left open.
    pub(crate) fn reopen(&mut self) {
        self.ledger = MemoryLedger::open(&self.disk, &self.clock);
        self.ledger.recover();
        self.ledger.commit(self.ledger.take()).deliver();
    }

    pub(crate) fn node(&self) -> (i64, i64) {
        self.ledger.node()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn set(&mut self, now: Timestamp) {
        self.clock.shift_ms(now.0 - self.clock.now().0);
    }

    /// One command, one commit.
    pub(crate) fn run(&mut self, command: &Command) -> Reply {
        let ticket = self.ledger.submit(command.clone());
        self.ledger.commit(self.ledger.take()).deliver();
        ticket.wait_blocking().unwrap()
    }

    /// What the last command moved: debit, credit, amount.
    pub(crate) fn moved(&self) -> Vec<(String, String, i64)> {
        let postings = self.entries().into_iter().next_back().map_or_else(Vec::new, |entry| entry.postings);
        postings.into_iter().map(|p| (p.debit, p.credit, p.amount.as_nano())).collect()
    }

    /// Credits minus debits of every account that is not at zero.
    pub(crate) fn wallets(&self) -> Vec<WalletSummary> {
        self.ledger.wallets().unwrap()
    }

    pub(crate) fn orders(&self) -> Vec<OrderReceipt> {
        self.ledger.orders().unwrap()
    }

    pub(crate) fn balances(&self) -> BTreeMap<String, i64> {
        self.ledger.balances()
    }

    pub(crate) fn order(&self, id: OrderId) -> OrderReceipt {
        self.find(id).unwrap()
    }

    pub(crate) fn find(&self, id: OrderId) -> Option<OrderReceipt> {
        self.ledger.order(id).unwrap()
    }

    /// Every window of a budget that holds or has spent something: by budget and start, held and spent.
    pub(crate) fn windows(&self) -> BTreeMap<(i64, i64), (i64, i64)> {
        let used = self.ledger.windows().into_iter().map(|(window, used)| (window, (used.held, used.spent)));
        used.filter(|(_, used)| *used != (0, 0)).collect()
    }

    pub(crate) fn entries(&self) -> Vec<Journal> {
        self.ledger.entries(&EntryQuery { limit: usize::MAX, ..EntryQuery::default() }).unwrap()
    }

    pub(crate) fn verify(&self) -> Report {
        self.ledger.verify().unwrap()
    }
}
