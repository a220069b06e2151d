//! Owns: our side of a reconciliation: what was booked for one provider, by day, model and key.
//! Refuses to know: where it is stored.

use super::cell::Scope;
use super::model_name::model_key;
use crate::base::{Date, Exact, Result, Timestamp};
use crate::protocol::billing::{Counter, Counts};
use std::collections::{BTreeMap, BTreeSet};

/// Orders that began on one UTC day and ended on one, at one model under one of our keys.
#[derive(Clone, Debug, PartialEq)]
pub struct OurRow {
    pub day: Date,
    /// Another one for calls that crossed midnight: bills are by the one or the other.
    pub ended: Date,
    /// As sent upstream.
    pub model: String,
    /// The id of our key; `None` for calls without one.
    pub key: Option<String>,
    /// Settled on usage at this provider.
    pub orders: u64,
    pub usage: Counts,
    /// The cost before rounding; `None` if 128 bits do not hold the sum.
    pub cost_exact: Option<Exact>,
    /// What `prov:{p}:payable` was credited, closed gaps included.
    pub cost_nano: i128,
    /// The part of it whose expense stands in `exp:loss:undelivered`.
    pub undelivered_nano: i128,
    /// Settled on an estimate, and what they cost by it.
    pub provisional: u64,
    pub provisional_nano: i128,
    /// Usage known, price unknown: they cost something, and nothing is booked.
    pub unpriced: u64,
    /// In `prov:{p}:suspense` for attempts that failed and may be billed all the same.
    pub failover_nano: i128,
    /// There for calls that were under way when a gateway died.
    pub crash_nano: i128,
    /// There by the settlement policy: estimates of calls that did not end well.
    pub estimate_nano: i128,
    /// The part of these whose expense stands in `exp:loss:undelivered`.
    pub estimate_undelivered_nano: i128,
    /// Gaps of before that were closed by a booking; what they changed in the cost, and which counts of the bill they explain.
    pub closed: u64,
    pub closed_nano: i128,
    pub explained: BTreeMap<Counter, i64>,
    /// Content hashes of the price sheets these orders were rated with.
    pub price_sheets: BTreeSet<String>,
}

impl OurRow {
    /// Nothing booked yet.
    pub fn new(day: Date, model: String, key: Option<String>) -> Self {
        Self {
            day,
            ended: day,
            model,
            key,
            orders: 0,
            usage: Counts::new(),
            cost_exact: Some(Exact::ZERO),
            cost_nano: 0,
            undelivered_nano: 0,
            provisional: 0,
            provisional_nano: 0,
            unpriced: 0,
            failover_nano: 0,
            crash_nano: 0,
            estimate_nano: 0,
            estimate_undelivered_nano: 0,
            closed: 0,
            closed_nano: 0,
            explained: BTreeMap::new(),
            price_sheets: BTreeSet::new(),
        }
    }

    /// What is in suspense, waiting for the provider's evidence.
    pub const fn suspense_nano(&self) -> i128 {
        self.failover_nano + self.crash_nano + self.estimate_nano
    }

    /// Whether anything at all was booked.
    pub const fn is_empty(&self) -> bool {
        self.orders == 0 && self.cost_nano == 0 && self.suspense_nano() == 0 && self.closed == 0
    }

    /// Adds another row's figures; day, model and key stay.
    pub fn add(&mut self, other: &Self) {
        self.orders += other.orders;
        for (counter, count) in &other.usage {
            let sum = self.usage.entry(*counter).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.cost_exact = self.cost_exact.zip(other.cost_exact).and_then(|(sum, part)| sum.checked_add(part));
        self.cost_nano += other.cost_nano;
        self.undelivered_nano += other.undelivered_nano;
        self.provisional += other.provisional;
        self.provisional_nano += other.provisional_nano;
        self.unpriced += other.unpriced;
        self.failover_nano += other.failover_nano;
        self.crash_nano += other.crash_nano;
        self.estimate_nano += other.estimate_nano;
        self.estimate_undelivered_nano += other.estimate_undelivered_nano;
        self.price_sheets.extend(other.price_sheets.iter().cloned());
    }

    /// A gap of before that was closed.
    pub(super) fn close(&mut self, closed: &ClosedGap) {
        self.closed += 1;
        self.closed_nano += closed.cost_nano;
        self.cost_nano += closed.cost_nano;
        self.cost_exact = self.cost_exact.zip(Exact::new(closed.cost_nano, 1)).and_then(|(sum, part)| sum.checked_add(part));
        let mut cleared = closed.suspense_nano;
        for waiting in [&mut self.failover_nano, &mut self.crash_nano, &mut self.estimate_nano] {
            let part = cleared.min(*waiting);
            (*waiting, cleared) = (*waiting - part, cleared - part);
        }
        self.estimate_undelivered_nano = self.estimate_undelivered_nano.min(self.estimate_nano);
        for (counter, count) in &closed.explained {
            let sum = self.explained.entry(*counter).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    /// Is anything of the counter booked that is not explained away?
    pub(super) fn uses(&self, counter: Counter) -> bool {
        let used = self.usage.get(&counter).copied().unwrap_or(0);
        i128::from(used) + i128::from(self.explained.get(&counter).copied().unwrap_or(0)) > 0
    }
}

/// What the journal says of a gap that was closed: its place in the comparison, and what that explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedGap {
    pub day: Date,
    pub scope: Scope,
    pub key: Option<String>,
    /// The day is that of the calls' ends.
    pub by_end: bool,
    /// The expense that its difference was moved to, by path.
    pub account: String,
    /// What the bill counts beyond our orders, or (negative) does not.
    pub explained: BTreeMap<Counter, i64>,
    /// Credited to `prov:{p}:payable`.
    pub cost_nano: i128,
    /// Taken out of `prov:{p}:suspense`.
    pub suspense_nano: i128,
}

impl ClosedGap {
    /// Whether an order is part of what was closed: when it began and ended, at which model, under which of our keys.
    pub fn has(&self, (began, ended): (Date, Date), model: &str, key: Option<&str>) -> bool {
        let about = match &self.scope {
            Scope::Model(name) => *name == model_key(model),
            Scope::Day => true,
            Scope::Line(_) => false,
        };
        about && self.day == if self.by_end { ended } else { began } && self.key.as_deref().is_none_or(|own| Some(own) == key)
    }
}

/// Where our side comes from.
pub trait Books {
    /// What was booked for `provider` for orders that began or ended from `from` (inclusive) to `to` (exclusive), whole days. Calls on
    /// the users' own provider keys are left out: they are on the users' bills.
    fn daily(&self, provider: &str, from: Timestamp, to: Timestamp) -> Result<Vec<OurRow>>;

    /// The journal's last entry: all that is read afterwards has it and what came before it.
    fn last_seq(&self) -> Result<i64>;

    /// The gaps with `provider` that were closed, oldest first.
    fn closed(&self, provider: &str) -> Result<Vec<ClosedGap>>;
}
