//! Owns: whose money is spent first, and where what is not spent returns to: a list of accounts with an amount of each, in the order
//! of spending: grants by priority and day of expiry, the wallet's own cash, the platform's credit.

use super::Oracle;
use gotoai::domain::ledger::WalletKind;

pub(super) fn cash(wallet: &str) -> String {
    format!("wallet:{wallet}:cash")
}

pub(super) fn held(wallet: &str) -> String {
    format!("wallet:{wallet}:held")
}

pub(super) fn receivable(wallet: &str) -> String {
    format!("wallet:{wallet}:recv")
}

pub(super) fn grant(wallet: &str, grant: &str) -> String {
    format!("wallet:{wallet}:grant:{grant}")
}

#[derive(Clone, Debug, Default)]
pub(super) struct Purse(pub(super) Vec<(String, i64)>);

impl Purse {
    pub(super) fn sum(&self) -> i64 {
        self.0.iter().fold(0, |sum, (_, amount)| sum.saturating_add(*amount))
    }

    /// What is spent of it first, up to `amount`; the rest stays.
    pub(super) fn spend(&mut self, amount: i64) -> Self {
        let mut left = amount;
        let taken = self.0.iter_mut().map(|(path, has)| {
            let part = left.min(*has);
            left -= part;
            *has -= part;
            (path.clone(), part)
        });
        let taken = Self(taken.collect());
        self.0.retain(|(_, has)| *has > 0);
        taken
    }

    /// The last `amount` of it, last spent first.
    pub(super) fn unspend(&mut self, amount: i64) -> Self {
        let all = self.sum();
        let stays = self.spend(all - amount.min(all));
        let mut back = std::mem::replace(self, stays);
        back.0.reverse();
        back
    }

    /// Adds, keeping the order of spending: a grant is spent before cash, cash before credit, even if it came later.
    pub(super) fn add(&mut self, other: &Self) {
        let rank = |path: &str| if path.ends_with(":recv") { 2 } else { i32::from(path.ends_with(":cash")) };
        for (path, amount) in &other.0 {
            match self.0.iter_mut().find(|(known, _)| known == path) {
                Some(known) => known.1 += amount,
                None => self.0.push((path.clone(), *amount)),
            }
        }
        self.0.sort_by_key(|(path, _)| rank(path));
    }
}

impl Oracle {
    pub(super) fn owed(&self, wallet: &str) -> i64 {
        -self.balance(&receivable(wallet))
    }

    /// A hold lent by the platform is no debt: it goes back, or becomes one, when its order ends. What a postpaid wallet's holds took
    /// of its own money counts as lent too, so that no more is repaid than is owed for good.
    pub(super) fn debt(&self, wallet: &str) -> i64 {
        let is_postpaid = self.wallets.get(wallet).is_some_and(|known| known.kind == WalletKind::Postpaid);
        let lent = if is_postpaid { self.balance(&held(wallet)) } else { 0 };
        (self.owed(wallet) - lent).max(0)
    }

    /// What may be owed beyond what is.
    pub(super) fn credit(&self, wallet: &str) -> i64 {
        let terms = &self.wallets[wallet];
        match (terms.kind, terms.limit) {
            (WalletKind::Postpaid, None) => i64::MAX,
            (_, limit) => (limit.unwrap_or(0) - self.owed(wallet)).max(0),
        }
    }

    /// All that a hold may draw on now.
    pub(super) fn spendable(&self, wallet: &str) -> Purse {
        let known = &self.wallets[wallet];
        let mut grants: Vec<_> = known.grants.iter().filter(|(_, grant)| grant.expires_at.is_none_or(|at| at > self.now)).collect();
        grants.sort_by_key(|(name, grant)| (grant.priority, grant.expires_at.unwrap_or(i64::MAX), **name));
        let mut paths: Vec<String> = grants.into_iter().map(|(name, _)| grant(wallet, name)).collect();
        paths.push(cash(wallet));
        let mut purse = Purse(paths.into_iter().map(|path| (path.clone(), self.balance(&path))).collect());
        if known.kind == WalletKind::Postpaid {
            purse.0.push((receivable(wallet), self.credit(wallet)));
        }
        purse
    }

    /// Out of the hold, back to where it came from.
    pub(super) fn release(&mut self, wallet: &str, back: &Purse) {
        for (path, amount) in &back.0 {
            self.post(&held(wallet), path, *amount);
        }
    }

    /// What a wallet gets back of what it has spent: its debt first, then where it came from, last spent first. What was credit and is
    /// not owed any more is cash.
    pub(super) fn give_back(&mut self, from: &[(&str, i64)], wallet: &str, spent: &mut Purse) {
        let amount: i64 = from.iter().map(|(_, amount)| amount).sum();
        let mut left = amount - self.debt(wallet).min(amount);
        let mut to = vec![(receivable(wallet), amount - left)];
        for (path, part) in spent.unspend(amount).0 {
            let part = if path.ends_with(":recv") { 0 } else { part.min(left) };
            left -= part;
            to.push((path, part));
        }
        to.push((cash(wallet), left));
        for (path, amount) in from {
            self.post(path, "back", *amount);
        }
        for (path, amount) in to {
            self.post("back", &path, amount);
        }
    }
}
