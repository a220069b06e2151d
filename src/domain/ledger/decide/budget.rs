//! Owns: budgets within the ledger: what a hold may take of each, in the same transaction as the hold, and what settles it.
//! Refuses to know: wallets.

use super::Desk;
use crate::base::{Money, Timestamp};
use crate::domain::ledger::command::{OverBudget, Refusal, Reserve};
use crate::domain::ledger::order::Counted;
use crate::domain::ledger::state::{BudgetAlert, WindowId};
use crate::domain::risk::{Budget, Limit, Unit, Used};
use std::sync::Arc;

/// A budget that counts a call, with what its window has used.
#[derive(Clone)]
struct Page {
    budget: Budget,
    window: WindowId,
    ends_at: Timestamp,
    used: Used,
}

impl Desk<'_> {
    /// The windows that will count this call, and the most of `asked` that every hard budget leaves, at least `least`.
    pub(super) fn admit_to_budgets(&mut self, reserve: &Reserve, asked: Money, least: Money) -> Result<(Money, Vec<WindowId>), Refusal> {
        if self.state.budgets.is_empty() {
            return Ok((asked, Vec::new()));
        }
        let pages: Vec<Page> = self.state.budgets_of(reserve).map(|budget| self.page(budget)).collect();
        let mut hold = asked;
        for page in &pages {
            let Limit::Hard { status } = page.budget.limit else { continue };
            if page.budget.unit == Unit::Money && reserve.hold.is_none() {
                // Nobody can say what it would take of the budget.
                return Err(Refusal::Unpriced);
            }
            let left = page.budget.left(page.used);
            let fits = match page.budget.unit {
                Unit::Money => left >= least.as_nano() && (left > 0 || asked.is_zero()),
                Unit::Requests => left >= 1,
            };
            if !fits {
                self.raise(page, Used::REFUSED);
                return Err(Refusal::OverBudget(Box::new(page.refusal(status, left, self.now))));
            }
            if page.budget.unit == Unit::Money {
                hold = hold.min(Money::nano(left));
            }
        }
        Ok((hold, pages.iter().map(|page| page.window).collect()))
    }

    /// Takes a hold of each window.
    pub(super) fn count_in_budgets(&mut self, windows: &[WindowId], model: &str, hold: Money) -> Vec<Counted> {
        let counted: Vec<Counted> = windows
            .iter()
            .filter_map(|(id, start)| {
                let budget = self.budget(*id)?;
                Some(Counted { budget: *id, start_ms: *start, held: budget.takes(hold), by_endpoint: !budget.scope.is_of(model) })
            })
            .collect();
        self.hold_in_budgets(&counted);
        counted
    }

    /// Takes more of the windows that count money.
    pub(super) fn extend_count(&mut self, counted: &mut [Counted], by: Money) {
        for one in counted {
            let is_money = self.budget(one.budget).is_some_and(|budget| budget.unit == Unit::Money);
            if is_money {
                self.hold_in_budgets(&[Counted { held: by.as_nano(), ..*one }]);
                one.held = one.held.saturating_add(by.as_nano());
            }
        }
    }

    /// How much more of `asked` an open order may hold.
    pub(super) fn extend_in_budgets(&self, counted: &[Counted], asked: Money) -> Money {
        let left = counted.iter().filter_map(|one| {
            let budget = self.budget(one.budget)?;
            let used = self.used((one.budget, one.start_ms));
            let counts = matches!(budget.limit, Limit::Hard { .. }) && budget.unit == Unit::Money;
            counts.then(|| Money::nano(budget.left(used)))
        });
        left.fold(asked, Money::min)
    }

    fn budget(&self, id: i64) -> Option<&Budget> {
        self.state.budgets.iter().find(|budget| budget.id == id)
    }

    /// Budgets that held for this order because of another endpoint than the one that served.
    pub(super) fn uncounted(&self, counted: &[Counted], served: Option<&Arc<str>>) -> Vec<i64> {
        let Some(served) = served else { return Vec::new() };
        let others = counted.iter().filter(|one| one.by_endpoint).filter_map(|one| self.budget(one.budget));
        others.filter(|budget| !budget.scope.is_of(served)).map(|budget| budget.id).collect()
    }

    fn page(&self, budget: &Budget) -> Page {
        let window = budget.period.window(self.now);
        let id = (budget.id, window.start.0);
        Page { budget: budget.clone(), window: id, ends_at: window.end, used: self.used(id) }
    }

    fn used(&self, window: WindowId) -> Used {
        self.state.windows.get(&window).copied().unwrap_or_default()
    }

    /// Adds to what the windows hold.
    fn hold_in_budgets(&mut self, counted: &[Counted]) {
        for one in counted {
            let used = self.state.windows.entry((one.budget, one.start_ms)).or_default();
            used.held = used.held.saturating_add(one.held);
            self.writes.windows.insert((one.budget, one.start_ms));
        }
    }

    /// The order's holds leave its windows, and its charge, if it was used at all, is spent in them, the `uncounted` left out.
    pub(super) fn settle_in_budgets(&mut self, counted: &[Counted], uncounted: &[i64], charge: Option<Money>) {
        for one in counted {
            let id = (one.budget, one.start_ms);
            let Some(budget) = self.budget(one.budget).cloned() else { continue };
            let charge = charge.filter(|_| !uncounted.contains(&one.budget));
            let used = self.state.windows.entry(id).or_default();
            used.held = used.held.saturating_sub(one.held).max(0);
            used.spent = used.spent.saturating_add(charge.map_or(0, |charge| budget.takes(charge)));
            let (used, ends_at) = (*used, budget.period.window(Timestamp(one.start_ms)).end);
            self.writes.windows.insert(id);
            if let Some(percent) = budget.alert(used) {
                self.raise(&Page { budget, window: id, ends_at, used }, percent);
            }
        }
    }

    /// Spent money was given back (or, below zero, was charged only now).
    pub(super) fn return_in_budgets(&mut self, counted: &[Counted], amount: Money) {
        for one in counted {
            let is_money = self.budget(one.budget).is_some_and(|budget| budget.unit == Unit::Money);
            if is_money {
                let used = self.state.windows.entry((one.budget, one.start_ms)).or_default();
                used.spent = used.spent.saturating_sub(amount.as_nano()).max(0);
                self.writes.windows.insert((one.budget, one.start_ms));
            }
        }
    }

    /// Tells people once a window.
    fn raise(&mut self, page: &Page, percent: u8) {
        let used = self.state.windows.entry(page.window).or_default();
        if used.alerted >= percent {
            return;
        }
        used.alerted = percent;
        self.writes.windows.insert(page.window);
        self.writes.alerts.push(BudgetAlert {
            budget: page.budget.id,
            name: Arc::clone(&page.budget.name),
            start: Timestamp(page.window.1),
            percent,
            used: page.budget.shown(page.used.spent.saturating_add(page.used.held)),
            cap: page.budget.shown(page.budget.cap),
        });
    }
}

impl Page {
    fn refusal(&self, status: u16, left: i64, now: Timestamp) -> OverBudget {
        let budget = &self.budget;
        OverBudget {
            name: Arc::clone(&budget.name),
            cap: budget.shown(budget.cap),
            left: budget.shown(left),
            status,
            resets_at: self.ends_at,
            now,
        }
    }
}
