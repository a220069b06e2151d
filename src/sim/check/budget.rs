//! Owns: budgets: each window has counted what the calls in its scope were charged, and has not let more in than its cap.
//! Refuses to know: how the ledger counts.

use super::{Audit, Case, nano};
use crate::adapters::stores::memory::MemoryLedger;
use crate::base::Timestamp;
use crate::domain::ledger::{OrderState, UsageSource};
use crate::domain::risk::{BudgetStore, Unit};
use crate::sim::budget::BudgetPlan;
use crate::sim::mark::Mark;
use crate::sim::rule::Rule;
use std::collections::BTreeMap;

/// What the calls of a window come to.
#[derive(Clone, Copy, Default)]
struct Spent {
    spent: i128,
    /// The part that no hold had been let in for: used beyond the hold, or after it had been given back.
    unforeseen: i128,
}

impl Audit<'_> {
    pub(super) fn budgets(&mut self, cases: &[Case<'_>], ledger: &MemoryLedger) {
        let kept = ledger.list_budgets(Timestamp(0)).unwrap_or_default();
        let windows = ledger.windows();
        for plan in self.scenario.budgets() {
            let id = kept.iter().find(|(budget, _)| &*budget.name == plan.name).map(|(budget, _)| budget.id);
            self.expect(Rule::Budget, id.is_some(), || format!("budget {} is gone", plan.name));
            let Some(id) = id else { continue };
            let mut made: BTreeMap<i64, Spent> = BTreeMap::new();
            for case in cases.iter().filter(|case| plan.counts(&case.plan, case.settled.endpoint.as_deref())) {
                let sum = made.entry(plan.window(case.receipt.order.created_at)).or_default();
                let (spent, unforeseen) = taken(&plan, case);
                sum.spent += spent;
                sum.unforeseen += unforeseen;
            }
            let own: BTreeMap<i64, _> = windows.range((id, i64::MIN)..=(id, i64::MAX)).map(|((_, start), used)| (*start, *used)).collect();
            self.mark(Mark::NextWindow, made.len() > 1);
            for start in made.keys().chain(own.keys()).copied().collect::<std::collections::BTreeSet<_>>() {
                let made = made.get(&start).copied().unwrap_or_default();
                let used = own.get(&start).copied().unwrap_or_default();
                let (held, spent) = (i128::from(used.held), i128::from(used.spent));
                self.expect(Rule::Budget, held == 0 && spent == made.spent, || {
                    format!("budget {} from {start}: {held} held and {spent} spent, its calls make {}", plan.name, made.spent)
                });
                let most = i128::from(plan.cap) + made.unforeseen;
                self.expect(Rule::Budget, plan.refuses.is_none() || made.spent <= most, || {
                    format!("budget {} from {start}: {} spent of {}, {} of it unforeseen", plan.name, made.spent, plan.cap, made.unforeseen)
                });
                self.mark(Mark::SoftBudget, plan.refuses.is_none() && made.spent > i128::from(plan.cap));
            }
        }
    }
}

/// What a call took of a budget, and what of it nobody could foresee.
fn taken(plan: &BudgetPlan, case: &Case<'_>) -> (i128, i128) {
    let order = &case.receipt.order;
    let is_late =
        case.state == OrderState::LateSettled || (case.state == OrderState::Unpriced && order.final_seq > Some(order.reserve_seq + 1));
    let used = case.settled.usage_source != UsageSource::None && case.state != OrderState::Released;
    match plan.unit {
        Unit::Requests => (i128::from(used), i128::from(used && is_late)),
        Unit::Money => {
            let charge = nano(order.charge);
            let held = if is_late { 0 } else { i128::from(order.hold.as_nano()) };
            (charge - i128::from(order.refunded.as_nano()), (charge - held).max(0))
        }
    }
}
