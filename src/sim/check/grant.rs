//! Owns: grants, followed through the journal: spent before cash and in their order, never after their day; what a call did not
//! need goes back to them last of all; what is left ends with its day.
//! Refuses to know: which account the ledger chose, and why.

use super::Audit;
use crate::base::{OrderId, Timestamp};
use crate::domain::ledger::Action;
use crate::domain::ledger::{EventKind, Journal};
use crate::sim::mark::Mark;
use crate::sim::operator::{GrantPlan, What};
use crate::sim::rule::Rule;
use crate::sim::wallet::WALLETS;
use crate::sim::world::Done;
use std::collections::{BTreeMap, BTreeSet};

fn account(grant: &GrantPlan) -> String {
    format!("wallet:{}:grant:{}", WALLETS.get(grant.wallet).map_or("", |plan| plan.name), grant.name)
}

/// Balances as this walk makes them, and what each open order has taken from where.
#[derive(Default)]
struct Walk {
    balances: BTreeMap<String, i128>,
    taken: BTreeMap<OrderId, BTreeMap<String, i128>>,
    grown: BTreeSet<OrderId>,
}

impl Audit<'_> {
    pub(super) fn grants(&mut self, entries: &[Journal], now: Timestamp) {
        let grants = self.given();
        let mut walk = Walk::default();
        for entry in entries {
            match entry.kind {
                EventKind::Reserve | EventKind::Extend => self.spending(entry, &grants, &mut walk),
                EventKind::Finalize | EventKind::Release | EventKind::Expire | EventKind::Recover => self.returning(entry, &walk),
                EventKind::GrantExpired => self.ended(entry, &grants),
                EventKind::WalletOpened
                | EventKind::TopUp
                | EventKind::AccountOpened
                | EventKind::LateSettle
                | EventKind::TermsSet
                | EventKind::WalletFrozen
                | EventKind::WalletThawed
                | EventKind::Grant
                | EventKind::Refund
                | EventKind::TrueUp
                | EventKind::CashOut
                | EventKind::CashOutPaid
                | EventKind::CashOutFailed
                | EventKind::Chargeback
                | EventKind::PaidBack
                | EventKind::PaymentUnassigned
                | EventKind::PaymentAssigned
                | EventKind::Payout
                | EventKind::Invoice
                | EventKind::Adjust
                | EventKind::GapClosed => {}
            }
            for posting in &entry.postings {
                let amount = i128::from(posting.amount.as_nano());
                *walk.balances.entry(posting.debit.clone()).or_default() -= amount;
                *walk.balances.entry(posting.credit.clone()).or_default() += amount;
            }
        }
        for grant in &grants {
            let left = walk.balances.get(&account(grant)).copied().unwrap_or(0);
            let over = grant.expires_at.is_some_and(|at| at <= now);
            self.expect(Rule::Grant, left >= 0 && (!over || left == 0), || {
                format!("{left} nano are left of {}, whose day has come", account(grant))
            });
        }
    }

    /// The grants that were booked, in the order in which they are to be spent.
    fn given(&mut self) -> Vec<GrantPlan> {
        let mut given = Vec::new();
        for task in self.scenario.tasks() {
            let What::Fixed(Action::Grant(money)) = &task.what else { continue };
            if self.seen.done.get(&task.n) != Some(&Done::Booked) {
                continue;
            }
            let wallet = WALLETS.iter().position(|plan| *plan.name == *money.wallet).unwrap_or(0);
            given.extend(self.scenario.grants(wallet).into_iter().find(|grant| *grant.name == *money.grant));
            self.sums.granted_nano += i128::from(money.amount_nano);
        }
        given.sort_by_key(|grant| (grant.priority, grant.expires_at));
        given
    }

    /// Whoever takes from a later source has emptied the ones before it.
    fn spending(&mut self, entry: &Journal, grants: &[GrantPlan], walk: &mut Walk) {
        let mut taken: BTreeMap<String, i128> = BTreeMap::new();
        for posting in &entry.postings {
            *taken.entry(posting.debit.clone()).or_default() += i128::from(posting.amount.as_nano());
        }
        let Some(wallet) = taken.keys().next().and_then(|path| path.split(':').nth(1)).map(str::to_owned) else { return };
        let of = |path: &str| taken.get(path).copied().unwrap_or(0);
        let own = grants.iter().filter(|grant| WALLETS.get(grant.wallet).is_some_and(|plan| plan.name == wallet));
        let (mut left_before, mut from_grants) = (0, 0);
        for grant in own {
            let path = account(grant);
            let over = grant.expires_at.is_some_and(|at| at <= entry.ts);
            let spent = of(&path);
            self.expect(Rule::Grant, !(over && spent > 0), || format!("entry {}: {path} is spent after its day", entry.seq));
            self.expect(Rule::Grant, spent == 0 || left_before == 0, || format!("entry {}: {path} is spent before its turn", entry.seq));
            if !over {
                left_before += walk.balances.get(&path).copied().unwrap_or(0) - spent;
            }
            from_grants += spent;
        }
        let later = of(&format!("wallet:{wallet}:cash")) + of(&format!("wallet:{wallet}:recv"));
        self.expect(Rule::Grant, later == 0 || left_before == 0, || {
            format!("entry {}: wallet {wallet} pays {later} nano of its own while {left_before} are left of its grants", entry.seq)
        });
        self.mark(Mark::GrantSpent, from_grants > 0);
        self.mark(Mark::GrantAndMore, from_grants > 0 && later > 0);
        let Some(order) = entry.order else { return };
        if entry.kind == EventKind::Extend {
            walk.grown.insert(order);
        }
        walk.taken.entry(order).or_default().extend(taken);
    }

    /// What was spent last comes back first: nothing goes back to a grant while something of the wallet's own stays.
    fn returning(&mut self, entry: &Journal, walk: &Walk) {
        let Some(order) = entry.order.filter(|order| !walk.grown.contains(order)) else { return };
        let Some(taken) = walk.taken.get(&order) else { return };
        let back = |path: &str| -> i128 {
            entry.postings.iter().filter(|posting| posting.credit == path).map(|posting| i128::from(posting.amount.as_nano())).sum()
        };
        let mut to_grants = 0;
        let mut kept_of_own = 0;
        for (path, amount) in taken {
            if path.contains(":grant:") {
                to_grants += back(path);
            } else {
                kept_of_own += amount - back(path);
            }
        }
        self.expect(Rule::Grant, to_grants == 0 || kept_of_own <= 0, || {
            format!("entry {}: {to_grants} nano go back to a grant while {kept_of_own} of the wallet's own are kept", entry.seq)
        });
    }

    fn ended(&mut self, entry: &Journal, grants: &[GrantPlan]) {
        for posting in &entry.postings {
            let grant = grants.iter().find(|grant| account(grant) == posting.debit);
            let over = grant.is_some_and(|grant| grant.expires_at.is_some_and(|at| at <= entry.ts));
            self.expect(Rule::Grant, over, || format!("entry {}: {} ends before its day", entry.seq, posting.debit));
            self.mark(Mark::GrantExpired, true);
            let wallet = posting.debit.split(':').nth(1).unwrap_or_default().to_owned();
            *self.expired.entry(wallet).or_default() += i128::from(posting.amount.as_nano());
        }
    }
}
