//! Owns: our side of a reconciliation: what was booked for one provider, by day, model and key.
//! Refuses to know: where it is stored.

use crate::base::{Date, Exact, Result, Timestamp};
use crate::protocol::billing::Counts;
use std::collections::BTreeSet;

/// Orders of one UTC day (of their reserve) at one model under one of our keys.
#[derive(Clone, Debug, PartialEq)]
pub struct OurRow {
    pub day: Date,
    /// As sent upstream.
    pub model: String,
    /// The id of our key; `None` for calls without one.
    pub key: Option<String>,
    /// Settled on usage at this provider.
    pub orders: u64,
    pub usage: Counts,
    /// The cost before rounding; `None` if 128 bits do not hold the sum.
    pub cost_exact: Option<Exact>,
    /// What `prov:{p}:payable` was credited.
    pub cost_nano: i128,
    /// The part of it that stands in `exp:loss:undelivered`.
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
    /// Content hashes of the price sheets these orders were rated with.
    pub price_sheets: BTreeSet<String>,
}

impl OurRow {
    /// Nothing booked yet.
    pub fn new(day: Date, model: String, key: Option<String>) -> Self {
        Self {
            day,
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
            price_sheets: BTreeSet::new(),
        }
    }

    /// What is in suspense, waiting for the provider's evidence.
    pub const fn suspense_nano(&self) -> i128 {
        self.failover_nano + self.crash_nano
    }

    /// Whether anything at all was booked.
    pub const fn is_empty(&self) -> bool {
        self.orders == 0 && self.cost_nano == 0 && self.suspense_nano() == 0
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
        self.price_sheets.extend(other.price_sheets.iter().cloned());
    }
}

/// Where our side comes from.
pub trait Books {
    /// What was booked for `provider` for orders reserved from `from` (inclusive) to `to` (exclusive).
    fn daily(&self, provider: &str, from: Timestamp, to: Timestamp) -> Result<Vec<OurRow>>;
}
