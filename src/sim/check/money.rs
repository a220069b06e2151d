//! Owns: where all money is in the end: each wallet's, what went in and out of it, and the platform's own accounts.
//! Refuses to know: single orders (order).

use super::{Audit, Case, nano};
use crate::adapters::stores::memory::MemoryLedger;
use crate::domain::ledger::{Action, Ledger};
use crate::sim::mark::Mark;
use crate::sim::operator::{Task, What};
use crate::sim::rule::Rule;
use crate::sim::wallet::WALLETS;
use crate::sim::world::Done;
use std::collections::BTreeMap;

/// What the operator has got done with one wallet, in nano-dollars.
#[derive(Clone, Copy, Default)]
struct Moved {
    paid: i128,
    fees: i128,
    granted: i128,
    cashed_out: i128,
    charged_back: i128,
}

impl Audit<'_> {
    fn booked(&self) -> Vec<Task> {
        let is_booked = |task: &Task| task.delivery == 0 && self.seen.done.get(&task.n) == Some(&Done::Booked);
        self.scenario.tasks().into_iter().filter(is_booked).collect()
    }

    /// What was done to the orders' charges, as far as it was confirmed: refunds are what was decided, no more and no less.
    pub(super) fn operations(&mut self) {
        let mut refunded = 0;
        for task in self.booked() {
            if let What::Fixed(action) = &task.what {
                self.mark(Mark::CashedOut, matches!(action, Action::CashOutPaid(_)));
                self.mark(Mark::CashOutFailed, matches!(action, Action::CashOutFailed(_)));
                self.mark(Mark::ChargedBack, matches!(action, Action::Chargeback(_)));
            }
            if let (What::Refund { percent, .. }, Some(Action::Refund(refund))) = (&task.what, self.seen.decided.get(&task.n)) {
                refunded += i128::from(refund.amount_nano);
                self.mark(Mark::Refunded, true);
                self.mark(Mark::RefundedInPart, *percent < 100);
            }
        }
        let booked = self.sums.refunded_nano;
        self.expect(Rule::Correction, booked == refunded, || format!("{refunded} nano were refunded, the orders have {booked}"));
    }

    fn moved(&self) -> BTreeMap<String, Moved> {
        let mut all: BTreeMap<String, Moved> = BTreeMap::new();
        for task in self.booked() {
            let What::Fixed(action) = &task.what else { continue };
            let Some(wallet) = action.wallet() else { continue };
            let moved = all.entry(wallet.to_string()).or_default();
            match action {
                Action::TopUp(top_up) => {
                    moved.paid += i128::from(top_up.amount_nano);
                    moved.fees += i128::from(top_up.fee_nano);
                }
                Action::Grant(grant) => moved.granted += i128::from(grant.amount_nano),
                Action::CashOutPaid(payment) => moved.cashed_out += i128::from(payment.amount_nano),
                Action::Chargeback(payment) => moved.charged_back += i128::from(payment.amount_nano),
                Action::OpenWallet(_)
                | Action::SetTerms(_)
                | Action::Freeze(_)
                | Action::Thaw(_)
                | Action::Refund(_)
                | Action::TrueUp(_)
                | Action::CashOut(_)
                | Action::CashOutFailed(_)
                | Action::PaidBack(_)
                | Action::Unassigned(_)
                | Action::Assign(_)
                | Action::Payout(_)
                | Action::Invoice(_)
                | Action::Adjust(_)
                | Action::CloseGap(_) => {}
            }
        }
        all
    }

    /// Nothing is in a wallet, and nothing is gone from it, that what was done does not explain.
    pub(super) fn wallets(&mut self, ledger: &MemoryLedger) {
        let all = self.moved();
        for plan in &WALLETS {
            let moved = all.get(plan.name).copied().unwrap_or_default();
            let Ok(Some(summary)) = ledger.wallet(plan.name) else {
                self.expect(Rule::Payments, moved.paid == 0, || format!("wallet {} is gone", plan.name));
                continue;
            };
            let [cash, held, owed, granted, leaving] =
                [summary.cash, summary.held, summary.owed, summary.granted, summary.paying_out].map(|money| i128::from(money.as_nano()));
            let explained = self.explained.get(plan.name).copied().unwrap_or(0);
            let expired = self.expired.get(plan.name).copied().unwrap_or(0);
            let went_in = moved.paid + moved.granted - expired - moved.cashed_out - moved.charged_back;
            let leaked = went_in - (cash + granted + leaving - owed) - explained;
            self.mark(Mark::OwedByChargeback, moved.charged_back > 0 && owed > 0);
            self.sums.paid_nano += moved.paid;
            self.sums.leaked_nano += leaked.abs() + held.abs();
            self.expect(Rule::Leak, leaked == 0 && held == 0, || {
                let parts = format!(
                    "{went_in} went in, {cash} cash, {granted} granted, {leaving} leaving, {owed} owed, {explained} charged, {held} held"
                );
                format!("wallet {}: {} nano have no explanation ({parts})", plan.name, leaked + held)
            });
        }
    }

    /// Revenue, cost and losses are the sums of the orders; what lies at the payment provider is what it reported.
    pub(super) fn platform(&mut self, cases: &[Case<'_>], balances: &BTreeMap<String, i64>) {
        let balance = |start: &str, end: &str| -> i128 {
            balances.iter().filter(|(path, _)| path.starts_with(start) && path.ends_with(end)).map(|(_, nano)| i128::from(*nano)).sum()
        };
        let losses: i128 = cases.iter().flat_map(|case| &case.settled.losses).map(|loss| i128::from(loss.cost_nano)).sum();
        let crashed = cases.iter().filter(|case| case.settled.finish == "crash");
        let crashes: i128 = crashed.map(|case| i128::from(case.receipt.order.input_cost.as_nano())).sum();
        let costs: i128 = cases.iter().map(|case| nano(case.receipt.order.cost)).sum();
        let charges: i128 =
            cases.iter().map(|case| nano(case.receipt.order.charge) - i128::from(case.receipt.order.refunded.as_nano())).sum();
        let sum = |part: fn(&Moved) -> i128, all: &BTreeMap<String, Moved>| all.values().map(part).sum::<i128>();
        let all = self.moved();
        let (given, expired) = (sum(|moved| moved.granted, &all), self.expired.values().sum::<i128>());
        let at_payment_provider = sum(|moved| moved.paid - moved.fees - moved.cashed_out - moved.charged_back, &all);
        for (what, have, want) in [
            // A builder's share is part of what is charged.
            ("revenue", balance("rev:", "") + balance("builder:", ""), charges),
            ("owed to providers", balance("prov:", ":payable") + balance("prov:", ":suspense"), costs + losses + crashes),
            ("cost and losses", -balance("cogs:", "") - balance("exp:loss:", ""), costs + losses + crashes),
            ("promotion", -balance("contra:promo", ""), given - expired),
            ("payments cleared", -balance("psp:", ":clearing"), at_payment_provider),
        ] {
            self.expect(Rule::Accounts, have == want, || format!("{what} stands at {have} nano, what was done makes {want}"));
        }
    }
}
