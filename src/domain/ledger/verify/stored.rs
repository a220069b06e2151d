//! Owns: the comparison of stored rows with what the journal tells.
//! Refuses to know: which rows are shown, and when.

use super::finding::wallet_of;
use super::{Check, Compensation, Finding, Remedy, Report, Subject, Told, Touched, Verifier};
use crate::base::{Money, OrderId, Timestamp};
use crate::domain::ledger::account::{Account, AccountId, AccountPath, Balance};
use crate::domain::ledger::chain::hex;
use crate::domain::ledger::order::Order;
use crate::domain::ledger::state::{Wallet, WindowId};
use crate::domain::risk::{Budget, Unit, Used};
use std::sync::Arc;

/// An open order this long past its deadline is a finding: the sweeper runs every few seconds.
const GRACE_MS: i64 = 60_000;
/// A grant that still holds money so long after its day: what open calls hold of it comes back to it first.
const GRANT_GRACE_MS: i64 = 86_400_000;

fn nano(money: Option<Money>) -> Option<i64> {
    money.map(Money::as_nano)
}

fn shown(amount_nano: Option<i64>) -> String {
    amount_nano.map_or_else(|| "none".to_owned(), |amount| amount.to_string())
}

impl Verifier {
    /// What has changed since this was last asked; the rows of it are to be shown.
    pub fn take_touched(&mut self) -> Touched {
        std::mem::take(&mut self.touched)
    }

    /// All accounts in the order of their opening, and all wallets.
    pub fn opened(&self) -> (&[AccountId], &[Arc<str>]) {
        (&self.opened, &self.names)
    }

    pub fn waits_for(&self, id: OrderId) -> bool {
        self.orders.contains_key(&id)
    }

    /// Orders whose rows are still to be shown: open ones, and those that did not agree.
    pub fn waiting(&self) -> Vec<OrderId> {
        self.orders.keys().copied().collect()
    }

    /// What the journal makes of an account's balance.
    pub fn balance(&self, account: AccountId) -> Option<Balance> {
        self.accounts.get(&account).map(|told| told.balance)
    }

    /// What the journal makes of a budget's window.
    pub fn used(&self, window: WindowId, unit: Unit) -> (i64, i64) {
        let [money_held, money_spent, orders_held, orders_spent] = self.windows.get(&window).copied().unwrap_or_default();
        match unit {
            Unit::Money => (money_held, money_spent),
            Unit::Requests => (orders_held, orders_spent),
        }
    }

    /// Windows that orders are counted in.
    pub fn windows(&self) -> Vec<WindowId> {
        self.windows.keys().copied().collect()
    }

    /// A stored wallet's number, before the orders that refer to it.
    pub fn name_wallet(&mut self, id: i64, name: &str) {
        if self.wallet_names.get(&id).is_none_or(|known| **known != *name) {
            let known = self.wallets.get_key_value(name).map_or_else(|| name.into(), |(known, _)| Arc::clone(known));
            self.wallet_names.insert(id, known);
        }
    }

    /// A stored wallet with its grants.
    pub fn wallet(&mut self, wallet: &Wallet) {
        let name = &*wallet.name;
        let path = |account: AccountId| self.accounts.get(&account).map(|told| &*told.path);
        let own = [
            (wallet.cash, AccountPath::Cash(name)),
            (wallet.held, AccountPath::Held(name)),
            (wallet.receivable, AccountPath::Receivable(name)),
        ];
        let told = self.wallets.get(name);
        let same = told.is_some_and(|told| {
            (told.kind, told.credit_limit_nano, told.frozen) == (wallet.kind, nano(wallet.credit_limit), wallet.frozen)
                && told.terms == wallet.terms
                && told.moved_nano == wallet.moved_nano
                && told.grants.len() == wallet.grants.len()
                && wallet.grants.iter().all(|grant| {
                    told.grants.contains(&(Arc::clone(&grant.name), grant.priority, grant.expires_at.map(Timestamp::millis)))
                        && path(grant.account) == Some(&AccountPath::Grant(name, &grant.name).to_string())
                })
        }) && own.iter().all(|(account, meant)| path(*account) == Some(&meant.to_string()));
        if !same {
            let detail = format!("wallet '{name}' is not stored as its entries tell");
            self.report.add(Finding::new(Check::R07, Subject::Wallet(Arc::clone(&wallet.name)), detail).with(Remedy::Rebuild));
        }
        self.name_wallet(wallet.id, name);
        self.shown.wallets.insert(Arc::clone(&wallet.name));
    }

    /// What has expired of a wallet's grants is empty.
    pub fn grants(&mut self, wallet: &Wallet, now: Timestamp) {
        for grant in &wallet.grants {
            let expired = grant.expires_at.is_some_and(|at| at.0.saturating_add(GRANT_GRACE_MS) < now.0);
            let left = self.balance(grant.account).unwrap_or_default().credit_balance();
            if expired && left != 0 {
                let path = AccountPath::Grant(&wallet.name, &grant.name).to_string();
                let detail = format!("grant '{}' of wallet '{}' has expired and still holds {left} nano", grant.name, wallet.name);
                let reason = format!("grant '{}' has expired", grant.name);
                let back = Compensation { debit: path.clone(), credit: AccountPath::Promo.to_string(), amount_nano: left, reason };
                let finding = Finding::new(Check::R20, Subject::Account(path.into()), detail).off(0, left);
                self.report.add(finding.with(Remedy::Compensate(vec![back])));
            }
        }
    }

    /// A stored account with its stored balance; `None` where that has no row.
    pub fn account(&mut self, account: &Account, stored: Option<Balance>) {
        if stored.is_none() {
            self.lost_balance(account);
        }
        let stored = stored.unwrap_or_default();
        self.shown.accounts.insert(account.id);
        self.total.0 += i128::from(stored.debits);
        self.total.1 += i128::from(stored.credits);
        let subject = || Subject::Account(account.path.clone());
        let told = self.accounts.get(&account.id);
        let path = told.map_or("", |told| &*told.path);
        let mut found = Vec::new();
        if path != &*account.path {
            let detail = format!("account {} is stored as '{}' but was opened as '{path}'", account.id, account.path);
            found.push(Finding::new(Check::R03, subject(), detail).between(path, &account.path).with(Remedy::Rebuild));
        }
        let meant = AccountPath::parse(&account.path).map(|path| (path.class() as u8, path.guard()));
        if meant != Some((account.class, account.guard)) {
            let detail = format!("account '{}' is not stored with the class and limit that its name means", account.path);
            found.push(Finding::new(Check::R03, subject(), detail).with(Remedy::Rebuild));
        }
        let (computed, held, is_held) = told.map_or_else(Default::default, |told| (told.balance, told.held, told.is_held));
        if computed != stored {
            let (want, got) = (computed.credit_balance(), stored.credit_balance());
            let detail = format!("account '{}': stored balance {got} nano, its postings make {want} nano", account.path);
            let volume = |balance: Balance| format!("{} debits, {} credits", balance.debits, balance.credits);
            let finding = Finding::new(Check::R02, subject(), detail).off(want, got).between(volume(computed), volume(stored));
            found.push(finding.within(wallet_of(&account.path)).with(Remedy::Rebuild));
        }
        if !computed.respects(account.guard) {
            found.push(Finding::new(Check::R03, subject(), format!("account '{}' is beyond its limit", account.path)));
        }
        if is_held && held != computed.credit_balance() {
            let balance = computed.credit_balance();
            let detail = format!("account '{}' holds {balance} nano, its orders {held}", account.path);
            // Both figures are of the journal: it was changed itself.
            let finding = Finding::new(Check::R04, subject(), detail).off(held, balance).with(Remedy::Restore);
            found.push(finding.within(wallet_of(&account.path)));
        }
        for finding in found {
            self.report.add(finding);
        }
    }

    fn compare(&self, told: &Told, order: &Order, now: Timestamp) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut find = |check: Check, detail: String| found.push(Finding::new(check, Subject::Order(order.id), detail));
        let wallet = self.wallet_names.get(&order.wallet_id);
        let same = told.state == Some(order.state)
            && told.reserve_seq == order.reserve_seq
            && told.final_seq == order.final_seq
            && told.hold_nano == order.hold.as_nano()
            && told.charge_nano == nano(order.charge)
            && told.pass_nano == nano(order.pass_through)
            && told.cost_nano == nano(order.cost)
            && told.refunded_nano == order.refunded.as_nano()
            && wallet.is_some_and(|name| *name == told.wallet);
        if !same {
            find(Check::R07, format!("order {} is stored as {} but the journal tells otherwise", order.id, order.state.name()));
        }
        let expected = if order.state.is_open() { order.hold.as_nano() } else { 0 };
        if told.still_held != expected {
            let check = if order.state.is_open() { Check::R04 } else { Check::R05 };
            find(check, format!("order {}: {} nano are held, expected {expected}", order.id, told.still_held));
        }
        let charged = told.charge_nano.unwrap_or(0);
        if let Some(paid) = told.paid_nano.filter(|paid| !order.state.is_open() && *paid != charged - told.refunded_nano) {
            let refunded = told.refunded_nano;
            find(Check::R05, format!("order {}: {paid} nano left the wallet for a charge of {charged} less {refunded} refunded", order.id));
        }
        if told.refunded_nano > charged {
            find(Check::R20, format!("order {}: refunds of {} nano are beyond its charge", order.id, told.refunded_nano));
        }
        if order.state.is_open() && order.expires_at.0.saturating_add(GRACE_MS) < now.0 {
            find(Check::R06, format!("order {} is open past its deadline {}", order.id, order.expires_at));
        }
        if let (Some(charge), Some(pass), Some(fee)) = (nano(order.charge), nano(order.pass_through), nano(order.fee))
            && i128::from(charge) != i128::from(pass) + i128::from(fee)
        {
            find(Check::R08, format!("order {}: charge {charge} is not pass-through {pass} + fee {fee}", order.id));
        }
        found.into_iter().map(|finding| evidence(finding, told, order, wallet.map_or("", |name| name))).collect()
    }

    /// A stored order. With all its events fed, it must agree; one that has ended so is let go.
    pub fn order(&mut self, order: &Order, now: Timestamp) {
        let Some(told) = self.orders.get(&order.id) else {
            let detail = format!("order {} is in no entry of the journal", order.id);
            self.find(Check::R07, Subject::Order(order.id), detail);
            return;
        };
        self.shown.orders.insert(order.id);
        let found = self.compare(told, order, now);
        if found.is_empty() && !order.state.is_open() {
            self.orders.remove(&order.id);
        }
        for finding in found {
            self.report.add(finding);
        }
    }

    /// Lets go of an order that has ended, if its stored row agrees already: events that are still to be fed may change it.
    pub fn settle(&mut self, order: &Order, now: Timestamp) {
        let agrees = |told: &Told| !order.state.is_open() && self.compare(told, order, now).is_empty();
        if self.orders.get(&order.id).is_some_and(agrees) {
            self.orders.remove(&order.id);
        }
    }

    /// A stored window of a budget, after the orders.
    pub fn window(&mut self, budget: &Budget, start_ms: i64, used: Used) {
        let id = (budget.id, start_ms);
        if !self.shown.windows.insert(id) {
            return;
        }
        let (held, spent) = self.used(id, budget.unit);
        if (held, spent) != (used.held, used.spent) {
            let (name, start) = (&budget.name, Timestamp(start_ms));
            let detail =
                format!("budget '{name}' from {start}: {} held, {} spent; its orders make {held} and {spent}", used.held, used.spent);
            let finding = Finding::new(Check::R12, Subject::Window(budget.id, start_ms), detail);
            let finding = finding.between(format!("{held} held, {spent} spent"), format!("{} held, {} spent", used.held, used.spent));
            self.report.add(finding.with(Remedy::Rebuild));
        }
    }

    /// An account that was opened and has no row.
    pub fn lost_account(&mut self, id: AccountId) {
        let path = self.accounts.get(&id).map_or_else(Box::default, |told| told.path.clone());
        let detail = format!("account {id} ('{path}') was opened but is not stored");
        self.report.add(Finding::new(Check::R03, Subject::Account(path), detail).with(Remedy::Rebuild));
    }

    fn lost_balance(&mut self, account: &Account) {
        let detail = format!("account '{}' has no stored balance", account.path);
        let finding = Finding::new(Check::R02, Subject::Account(account.path.clone()), detail).with(Remedy::Rebuild);
        self.report.add(finding.within(wallet_of(&account.path)));
    }

    pub fn lost_wallet(&mut self, name: &Arc<str>) {
        let detail = format!("wallet '{name}' was opened but is not stored");
        self.report.add(Finding::new(Check::R07, Subject::Wallet(Arc::clone(name)), detail).with(Remedy::Rebuild));
    }

    pub fn lost_order(&mut self, id: OrderId) {
        let detail = format!("order {id} is in the journal but is not stored");
        self.report.add(Finding::new(Check::R07, Subject::Order(id), detail).with(Remedy::Rebuild));
    }

    /// A mark of an idempotent request whose order is not stored: sent again, it would be executed again.
    pub fn lost_mark(&mut self, scope: &[u8], order: OrderId) {
        let scope: Box<str> = hex(scope).into();
        let detail = format!("the idempotency key {}… stands for order {order}, which is not stored", scope.get(..12).unwrap_or(&scope));
        self.report.add(Finding::new(Check::R22, Subject::Request(scope), detail).between(order, "none"));
    }

    /// All stored rows have been shown: what has not been is lost.
    pub fn all_shown(&mut self) {
        if self.total.0 != self.total.1 {
            let (debits, credits) = self.total;
            let drift = i64::try_from(credits - debits).unwrap_or(i64::MAX);
            let detail = format!("all debits are {debits} nano, all credits {credits} nano");
            let mut finding = Finding::new(Check::R01, Subject::Ledger, detail).between(debits, credits).with(Remedy::Rebuild);
            finding.drift_nano = Some(drift);
            self.report.add(finding);
        }
        let accounts: Vec<AccountId> = self.opened.iter().filter(|id| !self.shown.accounts.contains(id)).copied().collect();
        let wallets: Vec<Arc<str>> = self.names.iter().filter(|name| !self.shown.wallets.contains(*name)).cloned().collect();
        let orders: Vec<OrderId> = self.orders.keys().filter(|id| !self.shown.orders.contains(id)).copied().collect();
        for id in accounts {
            self.lost_account(id);
        }
        for name in &wallets {
            self.lost_wallet(name);
        }
        for id in orders {
            self.lost_order(id);
        }
    }

    /// The outcome so far; the next one begins with the same figures and without findings.
    pub fn take_report(&mut self, now: Timestamp) -> Report {
        for notice in self.conduct.notices(now) {
            self.report.add(notice);
        }
        (self.report.settled, self.report.provisional) = self.conduct.figures();
        self.shown = super::Shown::default();
        self.total = (0, 0);
        let next = self.report.figures();
        std::mem::replace(&mut self.report, next)
    }

    /// One pass, everything fed and shown.
    pub fn finish(mut self) -> Report {
        self.sealed();
        self.anchored();
        self.all_shown();
        self.take_report(self.last_ts)
    }
}

/// Expected and actual of a finding about an order, and what can be done about it.
fn evidence(finding: Finding, told: &Told, order: &Order, stored_wallet: &str) -> Finding {
    let wallet = Some(Arc::clone(&told.wallet)).filter(|name| !name.is_empty());
    let held = if order.state.is_open() { order.hold.as_nano() } else { 0 };
    match finding.check {
        Check::R07 => {
            let pairs = [
                ("state", told.state.map_or("unknown", |state| state.name()).to_owned(), order.state.name().to_owned()),
                ("first entry", told.reserve_seq.to_string(), order.reserve_seq.to_string()),
                ("last entry", shown(told.final_seq), shown(order.final_seq)),
                ("hold", told.hold_nano.to_string(), order.hold.as_nano().to_string()),
                ("charge", shown(told.charge_nano), shown(nano(order.charge))),
                ("pass-through", shown(told.pass_nano), shown(nano(order.pass_through))),
                ("cost", shown(told.cost_nano), shown(nano(order.cost))),
                ("refunded", told.refunded_nano.to_string(), order.refunded.as_nano().to_string()),
                ("wallet", told.wallet.to_string(), stored_wallet.to_owned()),
            ];
            let differing = || pairs.iter().filter(|(_, told, stored)| told != stored);
            let told: Vec<String> = differing().map(|(name, told, _)| format!("{name} {told}")).collect();
            let stored: Vec<String> = differing().map(|(name, _, stored)| format!("{name} {stored}")).collect();
            finding.between(told.join(", "), stored.join(", ")).with(Remedy::Rebuild)
        }
        Check::R04 => finding.off(held, told.still_held).within(wallet).with(Remedy::Rebuild),
        Check::R05 => finding.with(Remedy::Look),
        Check::R20 => {
            let (charge, refunded) = (told.charge_nano.unwrap_or(0), told.refunded_nano);
            let reason = "refunded beyond the charge".to_owned();
            let debit = AccountPath::Cash(&told.wallet).to_string();
            let credit = AccountPath::UsageRevenue.to_string();
            let back = Compensation { debit, credit, amount_nano: refunded.saturating_sub(charge), reason };
            finding.off(charge, refunded).with(Remedy::Compensate(vec![back]))
        }
        Check::R08 => finding.with(Remedy::Rebuild),
        Check::R01
        | Check::R02
        | Check::R03
        | Check::R06
        | Check::R09
        | Check::R10
        | Check::R12
        | Check::R13
        | Check::R14
        | Check::R15
        | Check::R21
        | Check::R22
        | Check::R24
        | Check::R25 => finding,
    }
}
