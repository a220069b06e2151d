//! Owns: one process's view of the ledger in memory: commands wait in a queue until somebody takes them as a batch, commits
//! the batch, and delivers its answers, three steps between which the process may die. No thread, no timer.
//! Refuses to know: when to commit (its user), how rows are kept (rows).

use super::rows::Rows;
use crate::base::{Clock, Error, ErrorKind, OrderId, Result, Timestamp};
use crate::domain::ledger::{
    Command, EntryQuery, Grant, Hash, Journal, Ledger, Needs, Order, OrderReceipt, Read, Recalled, Reply, Report, State, Terms, Ticket,
    WalletSummary, WalletTerms, WindowId, Writes, decide,
};
use crate::domain::risk::{Budget, BudgetStore, Used};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{Notify, oneshot};

/// What a crash spares. Clones are the same disk.
#[derive(Clone, Default)]
pub struct Disk {
    pub(super) rows: Arc<Mutex<Rows>>,
    /// As of the last sync, for users who let the power fail.
    synced: Arc<Mutex<Rows>>,
}

impl Disk {
    /// What is committed survives a power cut from now on.
    pub fn sync(&self) {
        self.synced.lock().clone_from(&self.rows.lock());
    }

    /// A power cut: only what was synced is left. The orders that are gone, or are not as they were.
    pub fn lose_unsynced(&self) -> Vec<OrderId> {
        let mut rows = self.rows.lock();
        // Who had the disk is known outside it: a lock says so.
        let left = Rows { epoch: rows.epoch, ..self.synced.lock().clone() };
        let was = std::mem::replace(&mut *rows, left);
        was.orders.iter().filter(|order| rows.order(order.id) != Some(order)).map(|order| order.id).collect()
    }
}

type Answer = oneshot::Sender<Result<Reply>>;

/// Commands of one commit.
pub struct Batch(Vec<(Command, Answer)>);

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        self.0.iter().map(|(command, _)| command)
    }
}

/// What a commit has to say, one answer a command. What is dropped undelivered tells its caller only that the ledger is gone.
pub struct Answers(std::vec::IntoIter<(Answer, Result<Reply>)>);

impl Answers {
    fn new(answers: Vec<(Answer, Result<Reply>)>) -> Self {
        Self(answers.into_iter())
    }

    /// Delivers the next answer; false if there is none left.
    pub fn deliver_next(&mut self) -> bool {
        let Some((answer, outcome)) = self.0.next() else { return false };
        // Who does not wait any more does not need it.
        let _ = answer.send(outcome);
        true
    }

    pub fn deliver(mut self) {
        while self.deliver_next() {}
    }

    /// The answers that hold something, and all others.
    pub fn split(self) -> (Self, Self) {
        let (first, second) = self.0.partition(|(_, outcome)| matches!(outcome, Ok(Reply::Held { .. })));
        (Self::new(first), Self::new(second))
    }

    /// What nobody knows to have happened.
    #[must_use]
    pub fn denied(self, error: &Error) -> Self {
        Self::new(self.0.map(|(answer, _)| (answer, Err(error.clone()))).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }
}

#[derive(Default)]
struct Inner {
    state: State,
    queue: VecDeque<(Command, Answer)>,
    closed: bool,
}

/// The ledger of one process. Several may have been opened on one disk; only the last one commits.
pub struct MemoryLedger {
    pub(super) disk: Disk,
    pub(super) clock: Clock,
    epoch: i64,
    inner: Mutex<Inner>,
    filled: Notify,
}

impl MemoryLedger {
    const NODE: i64 = 0;

    /// A new process: takes the next epoch and reads what is committed. Orders that earlier epochs left open wait for
    /// `recover`.
    pub fn open(disk: &Disk, clock: &Clock) -> Self {
        let (state, epoch) = {
            let mut rows = disk.rows.lock();
            rows.epoch += 1;
            (rows.load(), rows.epoch)
        };
        let inner = Mutex::new(Inner { state, ..Inner::default() });
        Self { disk: disk.clone(), clock: clock.clone(), epoch, inner, filled: Notify::new() }
    }

    /// Queues the settlement of every open order of a dead epoch, oldest first.
    pub fn recover(&self) -> Vec<Ticket> {
        let left = self.open_orders(|order| order.epoch < self.epoch);
        left.into_iter().map(|order| self.submit(Command::Recover { order })).collect()
    }

    fn open_orders(&self, which: impl Fn(&Order) -> bool) -> Vec<OrderId> {
        let rows = self.disk.rows.lock();
        rows.orders.iter().filter(|order| order.state.is_open() && which(order)).map(|order| order.id).collect()
    }

    /// Returns when something is queued.
    pub async fn filled(&self) {
        while self.inner.lock().queue.is_empty() {
            self.filled.notified().await;
        }
    }

    /// All that is queued.
    pub fn take(&self) -> Batch {
        Batch(self.inner.lock().queue.drain(..).collect())
    }

    /// Decides the batch and commits it as one transaction. The answers are for the caller to deliver: until then nobody
    /// knows. A process whose epoch is over commits nothing.
    pub fn commit(&self, batch: Batch) -> Answers {
        let mut inner = self.inner.lock();
        let mut rows = self.disk.rows.lock();
        if rows.epoch != self.epoch {
            return Self::refuse(batch, &Error::new(ErrorKind::LedgerUnavailable, "another process has taken over this ledger"));
        }
        let now = self.clock.now().max(inner.state.last_ts);
        inner.state.last_ts = now;
        let mut writes = Writes::default();
        let mut answers = Vec::with_capacity(batch.0.len());
        for (command, answer) in batch.0 {
            // Marks are read where they are needed: how their orders stand changes without them.
            if let Some(scope) = Needs::of(&command).once
                && !inner.state.marks.contains_key(&scope)
                && let Some(known) = rows.mark(&scope, now)
            {
                inner.state.marks.insert(scope, known);
            }
            answers.push((answer, Ok(decide(&mut inner.state, &command, now, &mut writes))));
        }
        rows.write(&inner.state, writes, now);
        inner.state.marks.clear();
        Answers::new(answers)
    }

    /// The store cannot take the batch: nothing of it is booked, everybody is told so, and settlements wait for the next one,
    /// because what was used must be booked.
    pub fn fail(&self, batch: Batch, error: &Error) -> Answers {
        let mut answers = Vec::with_capacity(batch.0.len());
        let mut again = Vec::new();
        for (command, answer) in batch.0 {
            if matches!(command, Command::Settle(_)) {
                again.push((command, Ticket::new().0));
            }
            answers.push((answer, Err(error.clone())));
        }
        if !again.is_empty() {
            let mut inner = self.inner.lock();
            again.into_iter().rev().for_each(|waiting| inner.queue.push_front(waiting));
            self.filled.notify_one();
        }
        Answers::new(answers)
    }

    /// The store has stopped: nothing of the batch is booked, now or later.
    pub fn refuse(batch: Batch, error: &Error) -> Answers {
        Answers::new(batch.0.into_iter().map(|(_, answer)| (answer, Err(error.clone()))).collect())
    }

    /// Credits minus debits of every account that is not at zero, by name.
    pub fn balances(&self) -> BTreeMap<String, i64> {
        let rows = self.disk.rows.lock();
        let all = rows.accounts.iter().map(|account| (account.path.to_string(), rows.balance(account.id).credit_balance()));
        all.filter(|(_, balance)| *balance != 0).collect()
    }

    /// Every window of a budget that was ever used, with what it has used.
    pub fn windows(&self) -> BTreeMap<WindowId, Used> {
        self.disk.rows.lock().windows.iter().map(|(window, used)| (*window, *used)).collect()
    }

    /// The wallets whose terms are not the usual ones.
    pub fn terms(&self) -> HashMap<Arc<str>, WalletTerms> {
        let rows = self.disk.rows.lock();
        let changed = rows.wallets.iter().filter(|wallet| *wallet.terms != Terms::default());
        changed.map(|wallet| (Arc::clone(&wallet.name), WalletTerms { kind: wallet.kind, terms: Arc::clone(&wallet.terms) })).collect()
    }

    /// Grants whose day has come and of which something is left: wallet and grant.
    pub fn expired_grants(&self, now: Timestamp) -> Vec<(Arc<str>, Arc<str>)> {
        let rows = self.disk.rows.lock();
        let grants = rows.wallets.iter().flat_map(|wallet| wallet.grants.iter().map(|grant| (Arc::clone(&wallet.name), grant)));
        let is_due = |grant: &Grant| grant.expires_at.is_some_and(|at| at <= now) && rows.balance(grant.account).credit_balance() > 0;
        grants.filter(|(_, grant)| is_due(grant)).map(|(wallet, grant)| (wallet, Arc::clone(&grant.name))).collect()
    }

    /// Every order with the facts from its events, in the order in which they were reserved.
    pub fn orders(&self) -> Result<Vec<OrderReceipt>> {
        let rows = self.disk.rows.lock();
        rows.orders.iter().map(|order| rows.receipt(order)).collect()
    }
}

impl Ledger for MemoryLedger {
    fn submit(&self, command: Command) -> Ticket {
        let (answer, ticket) = Ticket::new();
        let mut inner = self.inner.lock();
        if inner.closed {
            let _ = answer.send(Err(Error::new(ErrorKind::LedgerUnavailable, "the ledger is closed")));
        } else {
            inner.queue.push_back((command, answer));
            self.filled.notify_one();
        }
        ticket
    }

    fn node(&self) -> (i64, i64) {
        (Self::NODE, self.epoch)
    }

    fn order(&self, id: OrderId) -> Result<Option<OrderReceipt>> {
        let rows = self.disk.rows.lock();
        rows.order(id).map(|order| rows.receipt(order)).transpose()
    }

    fn wallet(&self, name: &str) -> Result<Option<WalletSummary>> {
        let rows = self.disk.rows.lock();
        Ok(rows.wallet(name).map(|wallet| rows.summary(wallet)))
    }

    fn wallets(&self) -> Result<Vec<WalletSummary>> {
        let rows = self.disk.rows.lock();
        let mut all: Vec<_> = rows.wallets.iter().map(|wallet| rows.summary(wallet)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn entries(&self, query: &EntryQuery) -> Result<Vec<Journal>> {
        Ok(self.disk.rows.lock().entries(query))
    }

    fn once(&self, scope: Hash, now: Timestamp) -> Read<'_, Recalled> {
        let rows = self.disk.rows.lock();
        let known = rows.mark(&scope, now).map(|known| {
            let receipt = rows.order(known.order).map(|order| rows.receipt(order)).transpose()?;
            Ok((known, receipt))
        });
        Box::pin(std::future::ready(known.transpose()))
    }

    fn overdue(&self, now: Timestamp) -> Result<Vec<OrderId>> {
        Ok(self.open_orders(|order| order.epoch == self.epoch && order.expires_at <= now))
    }

    fn orphans(&self, _now: Timestamp) -> Result<Vec<OrderId>> {
        Ok(self.open_orders(|order| order.epoch < self.epoch))
    }

    fn verify(&self) -> Result<Report> {
        Ok(self.disk.rows.lock().verify(self.clock.now()))
    }

    fn close(&self) {
        let last = self.take();
        if !last.is_empty() {
            self.commit(last).deliver();
        }
        self.inner.lock().closed = true;
    }
}

impl BudgetStore for MemoryLedger {
    fn insert_budget(&self, mut budget: Budget, _now: Timestamp) -> Result<Budget> {
        let mut inner = self.inner.lock();
        let mut rows = self.disk.rows.lock();
        if rows.budgets.iter().any(|known| known.name == budget.name) {
            return Err(Error::new(ErrorKind::Conflict, format!("there is a budget '{}' already", budget.name)));
        }
        rows.last_budget += 1;
        budget.id = rows.last_budget;
        rows.budgets.push(budget.clone());
        inner.state.budgets.clone_from(&rows.budgets);
        Ok(budget)
    }

    fn list_budgets(&self, now: Timestamp) -> Result<Vec<(Budget, Used)>> {
        let rows = self.disk.rows.lock();
        let used = |budget: &Budget| rows.windows.get(&(budget.id, budget.period.window(now).start.0)).copied().unwrap_or_default();
        Ok(rows.budgets.iter().map(|budget| (budget.clone(), used(budget))).collect())
    }

    fn remove_budget(&self, name: &str, _now: Timestamp) -> Result<bool> {
        let mut inner = self.inner.lock();
        let mut rows = self.disk.rows.lock();
        let before = rows.budgets.len();
        rows.budgets.retain(|budget| &*budget.name != name);
        inner.state.budgets.clone_from(&rows.budgets);
        Ok(rows.budgets.len() < before)
    }
}
