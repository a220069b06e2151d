//! Owns: the proof. Feed it the journal from the first event, then the projections; it recomputes every balance, every
//! order, every hash, and names what does not agree. Checks are numbered as in the ledger law, section 6.
//! Refuses to know: where the rows come from, and repair.

use super::account::{Account, AccountId, AccountPath, Balance};
use super::anchor::{Anchor, AnchorCheck, AnchorEvidence};
use super::chain::{Block, Hash, block_hash, hex, merkle_root, sha256};
use super::event::{AccountPayload, Event, EventKind, ExtendPayload, ReservePayload, SettlePayload};
use super::operation::{GrantMoney, OpenWallet, Operated, Refund, SetTerms, WalletName};
use super::order::{Counted, Order, OrderState, UsageSource};
use super::rated::RatedTerms;
use super::state::{Wallet, WalletKind, WindowId};
use super::terms::Terms;
use crate::base::{Money, OrderId, Timestamp};
use crate::domain::catalog::PriceSheet;
use crate::domain::risk::{Budget, Unit, Used};
use std::collections::HashMap;
use std::sync::Arc;

/// One thing that does not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub check: Check,
    pub detail: String,
}

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Check {
    R01,
    R02,
    R03,
    R04,
    R05,
    R06,
    R07,
    R08,
    R12,
    R20,
    R21,
    R24,
}

impl Check {
    pub const ALL: [Self; 12] = [
        Self::R01,
        Self::R02,
        Self::R03,
        Self::R04,
        Self::R05,
        Self::R06,
        Self::R07,
        Self::R08,
        Self::R12,
        Self::R20,
        Self::R21,
        Self::R24,
    ];

    pub fn id(self) -> String {
        format!("{self:?}")
    }

    pub const fn title(self) -> &'static str {
        match self {
            Self::R01 => "debits equal credits",
            Self::R02 => "every balance is the sum of its postings",
            Self::R03 => "limited accounts are not negative, every account is known",
            Self::R04 => "what is held is the sum of the open holds",
            Self::R05 => "what entered a hold has left it once its order ended",
            Self::R06 => "no open order is past its deadline",
            Self::R07 => "orders, wallets and journal agree, the sequence has no gap",
            Self::R08 => "charge = pass-through + fee, and the cost follows from usage and price",
            Self::R12 => "every budget window is the sum of its orders",
            Self::R20 => "refunds are within charges, expired grants are empty",
            Self::R21 => "hash chain, Merkle roots and anchors hold",
            Self::R24 => "the ledger's time never runs backwards",
        }
    }
}

/// The outcome. `ok()` means no finding at all.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub findings: Vec<Finding>,
    pub events: i64,
    pub postings: i64,
    pub orders: i64,
    /// Time of the last entry.
    pub last_ts: Option<Timestamp>,
    /// Number and hash of the last block.
    pub head: Option<(i64, Hash)>,
    /// Stored anchors, and those in the file outside where it could be read.
    pub anchors: (usize, Option<usize>),
}

impl Report {
    pub fn ok(&self) -> bool {
        self.findings.is_empty()
    }
}

/// What the journal says of an order, gathered on the way.
#[derive(Clone, Debug, Default)]
struct Told {
    reserve_seq: i64,
    final_seq: Option<i64>,
    state: Option<OrderState>,
    wallet: String,
    hold_nano: i64,
    charge_nano: Option<i64>,
    pass_nano: Option<i64>,
    cost_nano: Option<i64>,
    refunded_nano: i64,
    /// Something was used: the order counts in its budgets.
    used: bool,
    counted: Vec<Counted>,
    /// Entered minus left the held account.
    still_held: i64,
}

/// What the journal says of a wallet.
#[derive(Debug)]
struct ToldWallet {
    kind: WalletKind,
    credit_limit_nano: Option<i64>,
    terms: Arc<Terms>,
    frozen: bool,
    /// Name, priority, expiry.
    grants: Vec<(Arc<str>, u8, Option<i64>)>,
}

/// One pass over the journal. Memory: one small record an order and an account.
pub struct Verifier {
    report: Report,
    balances: HashMap<AccountId, Balance>,
    paths: HashMap<AccountId, String>,
    held: HashMap<AccountId, i64>,
    orders: HashMap<OrderId, Told>,
    wallets: HashMap<Arc<str>, ToldWallet>,
    /// What orders hold and have spent in each window: money held, money spent, orders held, orders spent.
    windows: HashMap<WindowId, [i64; 4]>,
    /// Stored wallets, by the number that orders refer to.
    wallet_names: HashMap<i64, Arc<str>>,
    prices: HashMap<String, PriceSheet>,
    leaves: Vec<Hash>,
    anchors: AnchorCheck,
    /// Debits and credits of all stored balances.
    total: (i128, i128),
    last_ts: Timestamp,
    last_seq: i64,
    chained_seq: i64,
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new()
    }
}

impl Verifier {
    /// More findings than this say nothing new.
    const MAX_FINDINGS: usize = 1000;
    /// An open order this long past its deadline is a finding: the sweeper runs every few seconds.
    const GRACE_MS: i64 = 60_000;

    pub fn new() -> Self {
        Self {
            report: Report::default(),
            balances: HashMap::new(),
            paths: HashMap::new(),
            held: HashMap::new(),
            orders: HashMap::new(),
            wallets: HashMap::new(),
            windows: HashMap::new(),
            wallet_names: HashMap::new(),
            prices: HashMap::new(),
            leaves: Vec::new(),
            anchors: AnchorCheck::default(),
            total: (0, 0),
            last_ts: Timestamp(i64::MIN),
            last_seq: 0,
            chained_seq: 0,
        }
    }

    fn find(&mut self, check: Check, detail: String) {
        if self.report.findings.len() < Self::MAX_FINDINGS {
            self.report.findings.push(Finding { check, detail });
        }
    }

    /// A stored price sheet, before the journal.
    pub fn price(&mut self, hash: &[u8], json: &str) {
        if sha256(json.as_bytes()) != *hash {
            self.find(Check::R21, format!("price sheet {} was changed: its content does not match its hash", hex(hash)));
        }
        match serde_json::from_str(json) {
            Ok(sheet) => drop(self.prices.insert(hex(hash), sheet)),
            Err(error) => self.find(Check::R08, format!("price sheet {} is unreadable ({error})", hex(hash))),
        }
    }

    /// The stored anchors in order, before the journal, with what is known of anchors besides.
    pub fn anchors(&mut self, stored: &[Anchor], evidence: &AnchorEvidence) {
        self.report.anchors = (stored.len(), evidence.outside.as_ref().map(Vec::len));
        for wrong in self.anchors.begin(stored, evidence) {
            self.find(Check::R21, wrong);
        }
    }

    /// Computes the cost of a settlement again from its usage and its pinned price.
    fn recompute(&mut self, seq: i64, settled: &SettlePayload) {
        let (Some(hash), Some(stored)) = (&settled.price, &settled.cost_exact) else { return };
        // Entries of before there were tiers were rated at the standard one.
        let rated = settled.rated.clone().unwrap_or_else(|| RatedTerms { at_ms: self.last_ts.0, ..RatedTerms::default() });
        let computed = match self.prices.get(hash).map(|sheet| sheet.amount(&settled.usage, &rated.rating())) {
            None => return self.find(Check::R08, format!("entry {seq} refers to price sheet {hash}, which is not stored")),
            Some(Err(error)) => return self.find(Check::R08, format!("entry {seq}: {error}")),
            Some(Ok(exact)) => exact,
        };
        // On the caller's own key the provider's cost is not ours.
        let cost = rated.upstream_cost_exact.as_ref().unwrap_or(stored);
        if computed.to_string() != *cost {
            self.find(Check::R08, format!("entry {seq}: the cost is stored as {cost} nano, usage and price make {computed}"));
        }
        let told_charge = settled.charge_exact.as_ref().filter(|_| settled.rated.is_some() && settled.outcome.is_none());
        if let Some(told) = told_charge.filter(|_| rated.upstream_cost_exact.is_none()) {
            let charge = rated.charge(&settled.usage, computed, |hash| self.prices.get(hash).cloned());
            if charge.is_none_or(|charge| charge.to_string() != *told) {
                let made = charge.map_or_else(|| "nothing that can be computed".to_owned(), |charge| format!("{charge} nano"));
                self.find(Check::R08, format!("entry {seq}: the exact charge is stored as {told} nano, its terms make {made}"));
            }
        }
    }

    /// The next event, with its leaf (`Event::leaf`, which may be computed where the event is read) and the one that is stored.
    pub fn event(&mut self, event: &Event, leaf: Hash, stored_leaf: &[u8]) {
        self.report.events += 1;
        if event.seq != self.last_seq + 1 {
            self.find(Check::R07, format!("journal: entry {} follows entry {}", event.seq, self.last_seq));
        }
        self.last_seq = event.seq;
        if event.ts < self.last_ts {
            self.find(Check::R24, format!("entry {} is earlier than the entry before it", event.seq));
        }
        self.last_ts = event.ts;
        self.report.last_ts = Some(event.ts);
        if leaf != *stored_leaf {
            self.find(Check::R21, format!("entry {} was changed: its content does not match its leaf", event.seq));
        }
        self.leaves.push(leaf);
        for posting in &event.postings {
            self.report.postings += 1;
            for (account, debit, credit) in [(posting.debit, posting.amount_nano, 0), (posting.credit, 0, posting.amount_nano)] {
                let balance = self.balances.entry(account).or_default();
                balance.debits = balance.debits.saturating_add(debit);
                balance.credits = balance.credits.saturating_add(credit);
                if !self.paths.contains_key(&account) {
                    self.find(Check::R03, format!("entry {} uses account {account}, which was never opened", event.seq));
                }
            }
        }
        self.told(event);
    }

    fn told(&mut self, event: &Event) {
        if event.kind == EventKind::AccountOpened {
            match serde_json::from_slice::<AccountPayload<'_>>(&event.payload) {
                Ok(opened) => drop(self.paths.insert(opened.account, opened.path.into_owned())),
                Err(error) => self.find(Check::R07, format!("entry {}: unreadable payload ({error})", event.seq)),
            }
        }
        if let Err(error) = self.told_wallet(event) {
            self.find(Check::R07, format!("entry {}: unreadable payload ({error})", event.seq));
        }
        let Some(id) = event.order else { return };
        let mut order = self.orders.remove(&id).unwrap_or_default();
        for posting in &event.postings {
            let is_held = |account: &AccountId| self.paths.get(account).is_some_and(|path| path.ends_with(":held"));
            let moved = i64::from(is_held(&posting.credit)) - i64::from(is_held(&posting.debit));
            order.still_held = order.still_held.saturating_add(moved.saturating_mul(posting.amount_nano));
            if moved != 0 {
                let account = if moved > 0 { posting.credit } else { posting.debit };
                let held = self.held.entry(account).or_default();
                *held = held.saturating_add(moved.saturating_mul(posting.amount_nano));
            }
        }
        if let Err(error) = self.told_order(event, &mut order) {
            self.find(Check::R07, format!("entry {}: unreadable payload ({error})", event.seq));
        }
        self.orders.insert(id, order);
    }

    fn told_wallet(&mut self, event: &Event) -> serde_json::Result<()> {
        let known = |wallets: &mut HashMap<Arc<str>, ToldWallet>, name: &Arc<str>, change: &dyn Fn(&mut ToldWallet)| {
            wallets.get_mut(name).map(change).is_some()
        };
        let found = match event.kind {
            EventKind::WalletOpened => {
                let opened: OpenWallet = serde_json::from_slice(&event.payload)?;
                let OpenWallet { wallet, kind, credit_limit_nano } = opened;
                let told = ToldWallet { kind, credit_limit_nano, terms: Arc::default(), frozen: false, grants: Vec::new() };
                self.wallets.insert(wallet, told).is_none()
            }
            EventKind::TermsSet => {
                let SetTerms { wallet, credit_limit_nano, terms } = serde_json::from_slice(&event.payload)?;
                known(&mut self.wallets, &wallet, &|told| (told.credit_limit_nano, told.terms) = (credit_limit_nano, Arc::clone(&terms)))
            }
            EventKind::WalletFrozen | EventKind::WalletThawed | EventKind::Chargeback => {
                let WalletName { wallet } = serde_json::from_slice(&event.payload)?;
                known(&mut self.wallets, &wallet, &|told| told.frozen = event.kind != EventKind::WalletThawed)
            }
            EventKind::Grant => {
                let GrantMoney { wallet, grant, priority, expires_at_ms, .. } = serde_json::from_slice(&event.payload)?;
                known(&mut self.wallets, &wallet, &|told| {
                    told.grants.retain(|(name, ..)| *name != grant);
                    told.grants.push((Arc::clone(&grant), priority, expires_at_ms));
                })
            }
            EventKind::TopUp
            | EventKind::AccountOpened
            | EventKind::GrantExpired
            | EventKind::Reserve
            | EventKind::Extend
            | EventKind::Finalize
            | EventKind::LateSettle
            | EventKind::Release
            | EventKind::Expire
            | EventKind::Recover
            | EventKind::Refund
            | EventKind::TrueUp
            | EventKind::CashOut
            | EventKind::CashOutPaid
            | EventKind::CashOutFailed
            | EventKind::Payout
            | EventKind::Invoice
            | EventKind::Adjust => true,
        };
        if !found {
            self.find(Check::R07, format!("entry {} names a wallet that was never opened, or was opened before", event.seq));
        }
        Ok(())
    }

    fn told_order(&mut self, event: &Event, order: &mut Told) -> serde_json::Result<()> {
        match event.kind {
            EventKind::Reserve => {
                let reserve: ReservePayload<'_> = serde_json::from_slice(&event.payload)?;
                order.reserve_seq = event.seq;
                order.wallet = reserve.wallet.into_owned();
                order.hold_nano = reserve.hold_nano;
                order.state = Some(OrderState::Reserved);
                order.counted = reserve.counted;
            }
            EventKind::Extend => {
                let extended: ExtendPayload = serde_json::from_slice(&event.payload)?;
                order.hold_nano = extended.hold_nano;
                order.counted = extended.counted;
            }
            EventKind::Refund => {
                let refund: Operated<Refund> = serde_json::from_slice(&event.payload)?;
                order.refunded_nano = order.refunded_nano.saturating_add(refund.action.amount_nano);
            }
            EventKind::Finalize
            | EventKind::LateSettle
            | EventKind::Release
            | EventKind::Expire
            | EventKind::Recover
            | EventKind::TrueUp => {
                let settled: SettlePayload = serde_json::from_slice(&event.payload)?;
                self.recompute(event.seq, &settled);
                order.final_seq = Some(event.seq);
                order.state = OrderState::ALL.into_iter().find(|state| state.name() == settled.state);
                order.charge_nano = settled.charge_nano;
                order.pass_nano = settled.pass_through_nano;
                order.cost_nano = settled.cost_nano;
                order.used = settled.usage_source != UsageSource::None;
            }
            EventKind::WalletOpened
            | EventKind::TopUp
            | EventKind::AccountOpened
            | EventKind::TermsSet
            | EventKind::WalletFrozen
            | EventKind::WalletThawed
            | EventKind::Grant
            | EventKind::GrantExpired
            | EventKind::CashOut
            | EventKind::CashOutPaid
            | EventKind::CashOutFailed
            | EventKind::Chargeback
            | EventKind::Payout
            | EventKind::Invoice
            | EventKind::Adjust => self.find(Check::R07, format!("entry {} names an order and is none of an order's", event.seq)),
        }
        Ok(())
    }

    /// A posting whose entry does not exist.
    pub fn orphan(&mut self, seq: i64) {
        self.find(Check::R07, format!("a posting belongs to entry {seq}, which is not in the journal"));
    }

    /// The next block, after all its events. `prev` is the stored block before it, if any.
    pub fn block(&mut self, block: &Block) {
        let (n, prev) = self.report.head.map_or((0, [0; 32]), |(n, hash)| (n, hash));
        if block.n != n + 1 || block.first_seq != self.chained_seq + 1 || block.last_seq != self.last_seq {
            self.find(
                Check::R21,
                format!(
                    "block {} covers entries {} to {}, expected block {} from entry {}",
                    block.n,
                    block.first_seq,
                    block.last_seq,
                    n + 1,
                    self.chained_seq + 1
                ),
            );
        }
        if block.prev != prev {
            self.find(Check::R21, format!("block {} does not follow from the block before it", block.n));
        }
        if merkle_root(&self.leaves) != Some(block.root) {
            self.find(Check::R21, format!("block {}: its Merkle root does not match its entries", block.n));
        }
        if block_hash(block.n, block.first_seq, block.last_seq, &block.prev, &block.root, block.ts) != block.hash {
            self.find(Check::R21, format!("block {} was changed: its content does not match its hash", block.n));
        }
        for wrong in self.anchors.block(block) {
            self.find(Check::R21, wrong);
        }
        self.leaves.clear();
        self.chained_seq = self.last_seq;
        self.report.head = Some((block.n, block.hash));
    }

    /// A stored wallet with its grants, after the whole journal and before the accounts.
    pub fn wallet(&mut self, wallet: &Wallet) {
        let told = self.wallets.remove(&*wallet.name);
        let name = &*wallet.name;
        let own = [
            (wallet.cash, AccountPath::Cash(name)),
            (wallet.held, AccountPath::Held(name)),
            (wallet.receivable, AccountPath::Receivable(name)),
        ];
        let grants_agree = |told: &ToldWallet| {
            told.grants.len() == wallet.grants.len()
                && wallet.grants.iter().all(|grant| {
                    told.grants.contains(&(Arc::clone(&grant.name), grant.priority, grant.expires_at.map(Timestamp::millis)))
                        && self.paths.get(&grant.account).is_some_and(|path| *path == AccountPath::Grant(name, &grant.name).to_string())
                })
        };
        let agrees = |told: &ToldWallet| {
            (told.kind, told.credit_limit_nano, told.frozen) == (wallet.kind, wallet.credit_limit.map(Money::as_nano), wallet.frozen)
                && told.terms == wallet.terms
                && grants_agree(told)
        };
        let same = told.as_ref().is_some_and(agrees)
            && own.iter().all(|(account, path)| self.paths.get(account).is_some_and(|opened| *opened == path.to_string()));
        if !same {
            self.find(Check::R07, format!("wallet '{name}' is not stored as its entries tell"));
        }
        self.wallet_names.insert(wallet.id, Arc::clone(&wallet.name));
    }

    /// A stored account with its stored balance, after the whole journal.
    pub fn account(&mut self, account: &Account, stored: Balance) {
        let path = self.paths.remove(&account.id);
        if path.as_deref() != Some(&*account.path) {
            self.find(
                Check::R03,
                format!("account {} is stored as '{}' but was opened as '{}'", account.id, account.path, path.unwrap_or_default()),
            );
        }
        let meant = AccountPath::parse(&account.path).map(|path| (path.class() as u8, path.guard()));
        if meant != Some((account.class, account.guard)) {
            self.find(Check::R03, format!("account '{}' is not stored with the class and limit that its name means", account.path));
        }
        let computed = self.balances.remove(&account.id).unwrap_or_default();
        if computed != stored {
            let (want, got) = (computed.credit_balance(), stored.credit_balance());
            self.find(Check::R02, format!("account '{}': stored balance {got} nano, its postings make {want} nano", account.path));
        }
        if !computed.respects(account.guard) {
            self.find(Check::R03, format!("account '{}' is beyond its limit", account.path));
        }
        if account.path.ends_with(":held") && self.held.get(&account.id).copied().unwrap_or_default() != computed.credit_balance() {
            self.find(Check::R04, format!("account '{}' holds {} nano that belong to no order", account.path, computed.credit_balance()));
        }
        self.total.0 += i128::from(stored.debits);
        self.total.1 += i128::from(stored.credits);
    }

    /// A stored order, after the whole journal.
    pub fn order(&mut self, order: &Order, now: Timestamp) {
        self.report.orders += 1;
        let Some(told) = self.orders.remove(&order.id) else {
            self.find(Check::R07, format!("order {} is in no entry of the journal", order.id));
            return;
        };
        let nano = |money: Option<Money>| money.map(Money::as_nano);
        let same = told.state == Some(order.state)
            && told.reserve_seq == order.reserve_seq
            && told.final_seq == order.final_seq
            && told.hold_nano == order.hold.as_nano()
            && told.charge_nano == nano(order.charge)
            && told.pass_nano == nano(order.pass_through)
            && told.cost_nano == nano(order.cost)
            && told.refunded_nano == order.refunded.as_nano()
            && self.wallet_names.get(&order.wallet_id).is_some_and(|name| **name == *told.wallet);
        if !same {
            self.find(Check::R07, format!("order {} is stored as {} but the journal tells otherwise", order.id, order.state.name()));
        }
        let expected = if order.state.is_open() { order.hold.as_nano() } else { 0 };
        if told.still_held != expected {
            let check = if order.state.is_open() { Check::R04 } else { Check::R05 };
            self.find(check, format!("order {}: {} nano are held, expected {expected}", order.id, told.still_held));
        }
        if told.refunded_nano > told.charge_nano.unwrap_or(0) {
            self.find(Check::R20, format!("order {}: refunds of {} nano are beyond its charge", order.id, told.refunded_nano));
        }
        self.count(order, &told);
        if order.state.is_open() && order.expires_at.0.saturating_add(Self::GRACE_MS) < now.0 {
            self.find(Check::R06, format!("order {} is open past its deadline {}", order.id, order.expires_at));
        }
        if let (Some(charge), Some(pass), Some(fee)) = (nano(order.charge), nano(order.pass_through), nano(order.fee))
            && i128::from(charge) != i128::from(pass) + i128::from(fee)
        {
            self.find(Check::R08, format!("order {}: charge {charge} is not pass-through {pass} + fee {fee}", order.id));
        }
    }

    fn count(&mut self, order: &Order, told: &Told) {
        for one in &told.counted {
            let sums = self.windows.entry((one.budget, one.start_ms)).or_default();
            let charge = told.charge_nano.unwrap_or(0) - told.refunded_nano;
            let added = match (order.state.is_open(), told.used) {
                (true, _) => [one.held, 0, 1, 0],
                (false, true) => [0, charge, 0, 1],
                (false, false) => [0; 4],
            };
            for (sum, more) in sums.iter_mut().zip(added) {
                *sum = sum.saturating_add(more);
            }
        }
    }

    /// A stored window of a budget, after the orders.
    pub fn window(&mut self, budget: &Budget, start_ms: i64, used: Used) {
        let [money_held, money_spent, orders_held, orders_spent] = self.windows.remove(&(budget.id, start_ms)).unwrap_or_default();
        let (held, spent) = match budget.unit {
            Unit::Money => (money_held, money_spent),
            Unit::Requests => (orders_held, orders_spent),
        };
        if (held, spent) != (used.held, used.spent) {
            let (name, start) = (&budget.name, Timestamp(start_ms));
            self.find(
                Check::R12,
                format!("budget '{name}' from {start}: {} held, {} spent; its orders make {held} and {spent}", used.held, used.spent),
            );
        }
    }

    /// What is left over when everything has been shown.
    pub fn finish(mut self) -> Report {
        for wrong in self.anchors.finish() {
            self.find(Check::R21, wrong);
        }
        if self.chained_seq != self.last_seq {
            self.find(Check::R21, format!("entries {} to {} are in no block", self.chained_seq + 1, self.last_seq));
        }
        if self.total.0 != self.total.1 {
            self.find(Check::R01, format!("all debits are {} nano, all credits {} nano", self.total.0, self.total.1));
        }
        for (id, path) in std::mem::take(&mut self.paths) {
            self.find(Check::R03, format!("account {id} ('{path}') was opened but is not stored"));
        }
        for name in std::mem::take(&mut self.wallets).into_keys() {
            self.find(Check::R07, format!("wallet '{name}' was opened but is not stored"));
        }
        for id in std::mem::take(&mut self.orders).into_keys() {
            self.find(Check::R07, format!("order {id} is in the journal but is not stored"));
        }
        self.report
    }
}
