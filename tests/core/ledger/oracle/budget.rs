//! Owns: who else counts a call: budgets, their windows by the calendar, what a hold takes of them and what a charge leaves.

use super::{Call, Oracle, Used};

#[derive(Clone, Debug)]
pub(crate) struct Budget {
    pub(crate) key: Option<u8>,
    pub(crate) path: Option<&'static str>,
    pub(crate) wallet: Option<&'static str>,
    pub(crate) model: Option<&'static str>,
    pub(crate) label: Option<&'static str>,
    pub(crate) every: Every,
    pub(crate) cap: i64,
    /// Money otherwise.
    pub(crate) of_requests: bool,
    pub(crate) is_hard: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Every {
    Hour,
    Day,
    /// From Monday.
    Week,
    Month,
    Lifetime,
}

/// The endpoint that serves unless it fails.
const FIRST: &str = "acme/m";
const DAY_MS: i64 = 86_400_000;

impl Every {
    fn start(self, now: i64) -> i64 {
        let day = now.div_euclid(DAY_MS);
        match self {
            Self::Hour => now.div_euclid(DAY_MS / 24) * (DAY_MS / 24),
            Self::Day => day * DAY_MS,
            // 1970-01-05 was a Monday.
            Self::Week => ((day - 4).div_euclid(7) * 7 + 4) * DAY_MS,
            Self::Month => month_start(day) * DAY_MS,
            Self::Lifetime => 0,
        }
    }
}

/// The first day of the month that the day since 1970 lies in.
fn month_start(day: i64) -> i64 {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = |year: i64, month: i64| match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let mut start = 0;
    for month in 0.. {
        let length = days(1970 + month / 12, month % 12 + 1);
        if start + length > day {
            break;
        }
        start += length;
    }
    start
}

impl Budget {
    /// All that is given must fit; a path means all below it too, a model may end in `*`.
    fn counts(&self, call: &Call) -> bool {
        let below = |path: &str| path == "/" || call.path == path || call.path.starts_with(&format!("{path}/"));
        self.key.is_none_or(|key| call.key == Some(key))
            && self.path.is_none_or(below)
            && self.wallet.is_none_or(|wallet| call.wallet == wallet)
            && [Some(call.model), Some(FIRST), call.fallback].into_iter().flatten().any(|name| self.is_of(name))
            && self.label.is_none_or(|label| call.label == Some(label))
    }

    fn is_of(&self, name: &str) -> bool {
        self.model.is_none_or(|model| model.strip_suffix('*').map_or(name == model, |front| name.starts_with(front)))
    }

    const fn takes(&self, amount: i64) -> i64 {
        if self.of_requests { 1 } else { amount }
    }
}

impl Oracle {
    fn left(&self, budget: usize, start: i64) -> i64 {
        let (held, spent) = self.windows.get(&(budget, start)).copied().unwrap_or_default();
        (self.budgets[budget].cap - held - spent).max(0)
    }

    /// The most that the hard budgets leave for this call, at least `least`.
    pub(super) fn allowed(&self, call: &Call, least: i64) -> Result<i64, &'static str> {
        let mut allowed = call.hold.unwrap_or(0);
        for (n, budget) in self.budgets.iter().enumerate().filter(|(_, budget)| budget.is_hard && budget.counts(call)) {
            let left = self.left(n, budget.every.start(self.now));
            if budget.of_requests {
                if left == 0 {
                    return Err("over_budget");
                }
                continue;
            }
            let hold = call.hold.ok_or("unpriced")?;
            if left < least || (left == 0 && hold > 0) {
                return Err("over_budget");
            }
            allowed = allowed.min(left);
        }
        Ok(allowed)
    }

    pub(super) fn count(&mut self, call: &Call, hold: i64) -> Vec<(usize, i64, i64)> {
        let counting = self.budgets.iter().enumerate().filter(|(_, budget)| budget.counts(call));
        let counted: Vec<_> = counting.map(|(n, budget)| (n, budget.every.start(self.now), budget.takes(hold))).collect();
        for (n, start, takes) in &counted {
            self.windows.entry((*n, *start)).or_default().0 += takes;
        }
        counted
    }

    /// How much more an open order may hold: in the windows in which it began.
    pub(super) fn allowed_more(&self, order: u8, by: i64) -> i64 {
        let counted = self.orders[&order].counted.iter();
        let hard = counted.filter(|(n, ..)| self.budgets[*n].is_hard && !self.budgets[*n].of_requests);
        hard.fold(by, |by, (n, start, _)| by.min(self.left(*n, *start)))
    }

    pub(super) fn count_more(&mut self, order: u8, by: i64) {
        for (n, start, held) in &mut self.orders.get_mut(&order).unwrap().counted {
            if !self.budgets[*n].of_requests {
                *held += by;
                self.windows.entry((*n, *start)).or_default().0 += by;
            }
        }
    }

    /// Of those that may serve, one did: budgets of another one have nothing to do with the order any more.
    pub(super) fn serve(&mut self, order: u8, used: &Used) {
        let order = self.orders.get_mut(&order).unwrap();
        let served = if used.by_fallback { "other/m" } else { FIRST };
        for (n, start, held) in std::mem::take(&mut order.counted) {
            let budget = &self.budgets[n];
            if budget.is_of(order.model) || budget.is_of(served) {
                order.counted.push((n, start, held));
            } else if order.is_open() {
                self.windows.entry((n, start)).or_default().0 -= held;
            }
        }
    }

    /// The order's holds leave its windows, unless they have; if it was used at all, its charge is spent in them.
    pub(super) fn uncount(&mut self, order: u8, holds: bool, charge: Option<i64>) {
        for (n, start, held) in &self.orders[&order].counted {
            let window = self.windows.entry((*n, *start)).or_default();
            window.0 -= if holds { *held } else { 0 };
            window.1 += charge.map_or(0, |charge| self.budgets[*n].takes(charge));
        }
    }

    /// Money that came back counts no more in the windows that it was spent in.
    pub(super) fn uncharge(&mut self, order: u8, amount: i64) {
        for (n, start, _) in &self.orders[&order].counted {
            if !self.budgets[*n].of_requests {
                self.windows.entry((*n, *start)).or_default().1 -= amount;
            }
        }
    }
}
