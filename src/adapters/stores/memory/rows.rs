//! Owns: what survives the process: the rows as they were committed, and the state that a new process makes of them.
//! Refuses to know: queues, answers, who reads (reads).

use crate::base::{FastMap, OpId, OrderId, Timestamp};
use crate::domain::catalog::PinnedPrice;
use crate::domain::ledger::{
    Account, AccountId, Attempt, Balance, Block, Event, EventKind, Hash, Once, OnceRecord, OpRecord, Order, State, Wallet, WindowId, Writes,
};
use crate::domain::risk::{Budget, Used};
use std::collections::HashMap;
use std::sync::Arc;

/// One transaction of the journal: its events with the leaves as they were stored, and the block that seals them.
pub(super) struct Commit {
    pub(super) events: Vec<(Event, Hash)>,
    pub(super) block: Block,
}

/// The committed rows. Projections are written from `Writes` alone, as in every store: what `decide` forgets to name is
/// missing after the next start.
#[derive(Clone, Default)]
pub(super) struct Rows {
    /// Grows with every start; who holds an older one is dead and commits nothing.
    pub(super) epoch: i64,
    pub(super) commits: Vec<Arc<Commit>>,
    pub(super) accounts: Vec<Account>,
    pub(super) balances: HashMap<AccountId, Balance>,
    pub(super) wallets: Vec<Wallet>,
    /// In the order in which they were reserved.
    pub(super) orders: Vec<Order>,
    pub(super) order_at: HashMap<OrderId, usize>,
    pub(super) attempts: HashMap<OrderId, Vec<Attempt>>,
    pub(super) ops: HashMap<OpId, OpRecord>,
    pub(super) prices: Vec<Arc<PinnedPrice>>,
    /// Those in force; an id is never given twice.
    pub(super) budgets: Vec<Budget>,
    pub(super) last_budget: i64,
    pub(super) windows: FastMap<WindowId, Used>,
    /// Marks of requests: what was asked, the order, until when, the answer.
    pub(super) marks: HashMap<Hash, (Once, OrderId, Option<Vec<u8>>)>,
}

impl Rows {
    pub(super) fn order(&self, id: OrderId) -> Option<&Order> {
        self.order_at.get(&id).and_then(|at| self.orders.get(*at))
    }

    pub(super) fn balance(&self, account: AccountId) -> Balance {
        self.balances.get(&account).copied().unwrap_or_default()
    }

    pub(super) fn wallet(&self, name: &str) -> Option<&Wallet> {
        self.wallets.iter().find(|wallet| &*wallet.name == name)
    }

    pub(super) fn path(&self, account: AccountId) -> &str {
        self.accounts.iter().find(|known| known.id == account).map_or("", |known| &known.path)
    }

    /// The entry with this number.
    pub(super) fn event(&self, seq: i64) -> Option<&Event> {
        let at = self.commits.partition_point(|commit| commit.block.last_seq < seq);
        self.commits.get(at)?.events.iter().map(|(event, _)| event).find(|event| event.seq == seq)
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &(Event, Hash)> {
        self.commits.iter().flat_map(|commit| &commit.events)
    }

    /// What a process that starts now knows.
    pub(super) fn load(&self) -> State {
        let mut state = State::new();
        if let Some((last, _)) = self.commits.last().and_then(|commit| commit.events.last()) {
            (state.last_seq, state.last_ts) = (last.seq, last.ts);
        }
        let last = |kind| self.events().filter(|(event, _)| event.kind == kind).map(|(event, _)| event.seq).max().unwrap_or(0);
        (state.last_true_up_seq, state.last_closing_seq) = (last(EventKind::TrueUp), last(EventKind::GapClosed));
        state.next_account = self.accounts.iter().map(|account| account.id).max().unwrap_or(0) + 1;
        state.next_wallet = self.wallets.iter().map(|wallet| wallet.id).max().unwrap_or(0) + 1;
        state.accounts = self.accounts.iter().map(|account| (account.path.clone(), account.id)).collect();
        state.balances = self.accounts.iter().map(|account| (account.id, (self.balance(account.id), account.guard))).collect();
        state.orders = self.orders.iter().map(|order| (order.id, order.clone())).collect();
        state.ops = self.ops.values().map(|op| (op.id, op.clone())).collect();
        state.prices = self.prices.iter().map(|price| (price.hash, Arc::clone(price))).collect();
        state.budgets.clone_from(&self.budgets);
        state.windows.clone_from(&self.windows);
        for wallet in &self.wallets {
            state.insert_wallet(wallet.clone());
        }
        state
    }

    pub(super) fn mark(&self, scope: &Hash, now: Timestamp) -> Option<OnceRecord> {
        let (once, order, sealed) = self.marks.get(scope).filter(|(once, ..)| once.expires_at > now)?;
        self.order(*order).map(|order| OnceRecord::of(once.fingerprint, order, sealed.clone()))
    }

    /// All of it or, if the process dies before, nothing.
    pub(super) fn write(&mut self, state: &State, writes: Writes, now: Timestamp) {
        let touched = writes.touched_accounts();
        self.accounts.extend(writes.accounts);
        self.balances.extend(touched.into_iter().map(|account| (account, state.balance(account))));
        self.wallets.extend(writes.wallets);
        self.prices.extend(writes.prices);
        for op in writes.ops {
            self.ops.entry(op.id).or_insert(op);
        }
        for (order, attempt) in writes.attempts {
            self.attempts.entry(order).or_default().push(attempt);
        }
        self.marks.extend(writes.marks.into_iter().map(|(once, order)| (once.scope, (once, order, None))));
        for (order, answer) in writes.answers {
            if let Some(known) = self.marks.get_mut(&answer.scope).filter(|known| known.1 == order) {
                known.2 = Some(answer.sealed);
            }
        }
        for order in writes.orders_new {
            self.order_at.insert(order.id, self.orders.len());
            self.orders.push(order);
        }
        for wallet in &mut self.wallets {
            if let Some(changed) = writes.wallets_changed.get(&wallet.name).and_then(|name| state.wallets.get(name)) {
                *wallet = changed.clone();
            }
        }
        self.windows.extend(writes.windows.iter().map(|window| (*window, state.windows.get(window).copied().unwrap_or_default())));
        for id in writes.orders_changed.into_iter().chain(writes.orders_extended).chain(writes.orders_corrected) {
            if let (Some(at), Some(order)) = (self.order_at.get(&id), state.orders.get(&id)) {
                self.orders[*at] = order.clone();
            }
        }
        let head = self.commits.last().map_or((0, [0; 32]), |commit| (commit.block.n, commit.block.hash));
        let leaves: Vec<Hash> = writes.events.iter().map(Event::leaf).collect();
        let first_seq = writes.events.first().map(|event| event.seq);
        if let Some(block) = first_seq.and_then(|first| Block::seal(head, first, &leaves, now)) {
            self.commits.push(Arc::new(Commit { events: writes.events.into_iter().zip(leaves).collect(), block }));
        }
    }
}
