//! Owns: what `decide` looks at and changes: heads, wallets, balances, open orders. And what it wants written.
//! Refuses to know: where the rest is stored: a store loads what `Needs` names before it asks for a decision.

use super::account::{Account, AccountId, AccountPath, Balance};
use super::chain::Hash;
use super::command::{Command, Reserve};
use super::event::{AccountPayload, Event, EventKind};
use super::once::{Once, OnceRecord, SealedAnswer};
use super::order::Order;
use super::terms::{HoldPolicy, Terms};
use crate::base::{FastMap, Money, OpId, OrderId, Timestamp};
use crate::domain::catalog::PinnedPrice;
use crate::domain::risk::{Budget, Spender, Used};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

/// Who pays first: the user (prepaid) or the platform (postpaid, up to a credit limit or without one).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WalletKind {
    Prepaid,
    Postpaid,
}

/// One payer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    pub id: i64,
    pub name: Arc<str>,
    pub kind: WalletKind,
    /// Postpaid: the most that may be owed, `None` without limit. Prepaid: how far overrun may go into debt, `None` = 0.
    pub credit_limit: Option<Money>,
    pub frozen: bool,
    pub terms: Arc<Terms>,
    pub cash: AccountId,
    pub held: AccountId,
    pub receivable: AccountId,
    /// Nano-units that have crossed its border beside charges, into the wallet positive.
    pub moved_nano: i64,
    /// In the order in which they are spent: by priority, then by day of expiry, then by name.
    pub grants: Vec<Grant>,
}

impl Wallet {
    pub fn hold(&self) -> HoldPolicy {
        self.terms.hold(self.kind)
    }

    /// Puts a grant where it belongs in the order of spending.
    pub fn place(&mut self, grant: Grant) {
        self.grants.retain(|known| known.name != grant.name);
        self.grants.push(grant);
        self.grants.sort_by(|a, b| {
            let rank = |grant: &Grant| (grant.priority, grant.expires_at.unwrap_or(Timestamp(i64::MAX)));
            rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name))
        });
    }
}

/// Money given to a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub name: Arc<str>,
    pub account: AccountId,
    pub priority: u8,
    pub expires_at: Option<Timestamp>,
}

/// The record of a cold command: same id, same answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpRecord {
    pub id: OpId,
    /// What was asked, to tell a repetition from a conflict.
    pub fingerprint: [u8; 32],
    pub seq: i64,
}

/// What a command touches that may not be in memory yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub wallets: Vec<Arc<str>>,
    /// By path; those of wallets come with their wallet, those of the platform are all in memory.
    pub accounts: Vec<String>,
    pub order: Option<OrderId>,
    pub op: Option<OpId>,
    pub once: Option<Hash>,
}

impl Needs {
    pub fn of(command: &Command) -> Self {
        match command {
            Command::Operate(operation) => {
                let named = operation.action.wallet().cloned();
                let adjusted = operation.action.adjusted_wallets().into_iter().map(Arc::from);
                Self {
                    wallets: named.into_iter().chain(adjusted).collect(),
                    accounts: operation.action.unassigned_accounts(),
                    order: operation.action.order(),
                    op: Some(operation.op),
                    once: None,
                }
            }
            Command::Reserve(reserve) => {
                let once = reserve.once.map(|once| once.scope);
                Self { wallets: vec![Arc::clone(&reserve.wallet)], once, ..Self::default() }
            }
            Command::ExpireGrant { wallet, .. } => Self { wallets: vec![Arc::clone(wallet)], ..Self::default() },
            Command::Dispatch { order, .. }
            | Command::Extend { order, .. }
            | Command::Renew { order, .. }
            | Command::Expire { order }
            | Command::Recover { order } => Self { order: Some(*order), ..Self::default() },
            Command::Settle(settle) => Self { order: Some(settle.order), ..Self::default() },
        }
    }
}

/// A window of a budget: the budget's id and the moment at which the window begins.
pub type WindowId = (i64, i64);

/// The ledger's memory. A store may forget any wallet or terminal order at will and load it again.
#[derive(Debug, Default)]
pub struct State {
    /// Sequence number of the last event; the next is one more.
    pub last_seq: i64,
    /// Time of the last event: the ledger's time never runs backwards.
    pub last_ts: Timestamp,
    /// The last true-up, and the last bill that was closed: each would be out of date by the other.
    pub last_true_up_seq: i64,
    pub last_closing_seq: i64,
    pub next_account: AccountId,
    pub next_wallet: i64,
    pub wallets: FastMap<Arc<str>, Wallet>,
    pub wallet_names: FastMap<i64, Arc<str>>,
    pub accounts: FastMap<Box<str>, AccountId>,
    pub balances: FastMap<AccountId, (Balance, u8)>,
    pub orders: FastMap<OrderId, Order>,
    pub ops: FastMap<OpId, OpRecord>,
    pub prices: FastMap<[u8; 32], Arc<PinnedPrice>>,
    /// Marks of requests that were asked for, those whose time is over left out.
    pub marks: FastMap<Hash, OnceRecord>,
    /// All budgets.
    pub budgets: Vec<Budget>,
    /// Windows that were asked for; one that is absent has used nothing.
    pub windows: FastMap<WindowId, Used>,
    /// The path under which an account was last looked up: its memory is used again.
    path: String,
}

impl State {
    /// An empty ledger.
    pub fn new() -> Self {
        Self { next_account: 1, next_wallet: 1, ..Self::default() }
    }

    /// The account at `path`, opened now if need be. Opening is an event of its own, so call this before the event that
    /// uses the account is numbered.
    pub(super) fn account(&mut self, path: AccountPath<'_>, writes: &mut Writes) -> AccountId {
        self.path.clear();
        let _ = write!(self.path, "{path}");
        if let Some(id) = self.accounts.get(self.path.as_str()) {
            return *id;
        }
        let text: Box<str> = self.path.as_str().into();
        let id = self.next_account;
        self.next_account += 1;
        self.accounts.insert(text.clone(), id);
        self.balances.insert(id, (Balance::default(), path.guard()));
        let payload = serde_json::to_vec(&AccountPayload { account: id, path: (&*text).into() }).unwrap_or_default();
        self.last_seq += 1;
        let kind = EventKind::AccountOpened;
        writes.events.push(Event { seq: self.last_seq, kind, order: None, op: None, ts: self.last_ts, payload, postings: Vec::new() });
        writes.accounts.push(Account { id, path: text, class: path.class() as u8, guard: path.guard() });
        id
    }

    /// Budget windows that a command touches at `now`; the order it names, if any, must be in memory.
    pub fn windows_of(&self, command: &Command, now: Timestamp) -> Vec<WindowId> {
        if self.budgets.is_empty() {
            return Vec::new();
        }
        if let Command::Reserve(reserve) = command {
            return self.budgets_of(reserve).map(|budget| (budget.id, budget.period.window(now).start.0)).collect();
        }
        let order = Needs::of(command).order.and_then(|id| self.orders.get(&id));
        order.map_or(&[][..], |order| &order.counted).iter().map(|counted| (counted.budget, counted.start_ms)).collect()
    }

    /// Budgets that count this call.
    pub(super) fn budgets_of(&self, reserve: &Reserve) -> impl Iterator<Item = &Budget> {
        let key = reserve.key.filter(|_| !self.budgets.is_empty()).map(|key| key.to_string());
        self.budgets.iter().filter(move |budget| {
            budget.scope.fits(&Spender {
                wallet: &reserve.wallet,
                key: key.as_deref(),
                user_path: &reserve.user_path,
                model: &reserve.model,
                endpoint: &reserve.endpoint,
                fallbacks: &reserve.fallbacks,
                labels: &reserve.labels,
            })
        })
    }

    pub fn balance(&self, account: AccountId) -> Balance {
        self.balances.get(&account).map_or(Balance::default(), |(balance, _)| *balance)
    }

    /// A wallet's own account by its path, if the wallet is in memory.
    pub(super) fn wallet_account(&self, path: &str) -> Option<AccountId> {
        let wallet = |name: &str| self.wallets.get(name);
        match AccountPath::parse(path)? {
            AccountPath::Cash(w) => wallet(w).map(|wallet| wallet.cash),
            AccountPath::Receivable(w) => wallet(w).map(|wallet| wallet.receivable),
            AccountPath::Grant(w, grant) => wallet(w)?.grants.iter().find(|known| &*known.name == grant).map(|known| known.account),
            _ => None,
        }
    }

    pub fn wallet_of(&self, order: &Order) -> Option<&Wallet> {
        self.wallets.get(self.wallet_names.get(&order.wallet_id)?)
    }

    pub fn insert_wallet(&mut self, wallet: Wallet) {
        self.wallet_names.insert(wallet.id, Arc::clone(&wallet.name));
        self.wallets.insert(Arc::clone(&wallet.name), wallet);
    }

    /// Applies an event's postings to the balances, all or nothing. `Err` names the account that refuses: its guard would
    /// be broken or its volume would overflow.
    pub(super) fn apply(&mut self, event: &Event) -> Result<(), AccountId> {
        let mut changed: Vec<(AccountId, Balance, u8)> = Vec::with_capacity(event.postings.len() * 2);
        for posting in &event.postings {
            for (account, debit, credit) in [(posting.debit, posting.amount_nano, 0), (posting.credit, 0, posting.amount_nano)] {
                let known = changed.iter().position(|(id, ..)| *id == account);
                let at = match known {
                    Some(at) => at,
                    None => {
                        let (balance, guard) = *self.balances.get(&account).ok_or(account)?;
                        changed.push((account, balance, guard));
                        changed.len() - 1
                    }
                };
                let balance = &mut changed[at].1;
                balance.debits = balance.debits.checked_add(debit).ok_or(account)?;
                balance.credits = balance.credits.checked_add(credit).ok_or(account)?;
            }
        }
        if let Some((account, ..)) = changed.iter().find(|(_, balance, guard)| !balance.respects(*guard)) {
            return Err(*account);
        }
        self.balances.extend(changed.into_iter().map(|(id, balance, guard)| (id, (balance, guard))));
        Ok(())
    }
}

/// What the decisions of one batch want written, in one transaction.
#[derive(Debug, Default)]
pub struct Writes {
    pub events: Vec<Event>,
    pub accounts: Vec<Account>,
    pub wallets: Vec<Wallet>,
    pub orders_new: Vec<Order>,
    /// Ids whose row changed; the row is in the state.
    pub orders_changed: BTreeSet<OrderId>,
    pub prices: Vec<Arc<PinnedPrice>>,
    pub ops: Vec<OpRecord>,
    /// Attempts noted before dispatch, by order.
    pub attempts: Vec<(OrderId, super::Attempt)>,
    /// Wallets whose row or grants changed; they are in the state.
    pub wallets_changed: BTreeSet<Arc<str>>,
    /// Open orders whose hold grew, and settled ones that were corrected.
    pub orders_extended: BTreeSet<OrderId>,
    pub orders_corrected: BTreeSet<OrderId>,
    pub windows: BTreeSet<WindowId>,
    pub alerts: Vec<BudgetAlert>,
    /// Marks of requests with the orders they became, and answers with theirs.
    pub marks: Vec<(Once, OrderId)>,
    pub answers: Vec<(OrderId, SealedAnswer)>,
}

/// A budget has reached a percentage of its cap in one window (101: a call was refused).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetAlert {
    pub budget: i64,
    pub name: Arc<str>,
    pub start: Timestamp,
    pub percent: u8,
    pub used: String,
    pub cap: String,
}

impl Writes {
    /// Accounts whose balance changed, each once, sorted.
    pub fn touched_accounts(&self) -> Vec<AccountId> {
        let postings = self.events.iter().flat_map(|event| &event.postings);
        let mut touched: Vec<AccountId> = postings.flat_map(|posting| [posting.debit, posting.credit]).collect();
        touched.sort_unstable();
        touched.dedup();
        touched
    }
}
