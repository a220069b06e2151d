//! Owns: how the books are run, seen in the settlements: rounding, estimates, attempts, missing prices, sales below cost.
//! Refuses to know: whether the books are whole (the rest of the proof).

use super::{Check, Finding, Subject, Verifier};
use crate::base::{Exact, FastMap, Money, OrderId, Rounding, Timestamp};
use crate::domain::catalog::Usage;
use crate::domain::ledger::command::AttemptOutcome;
use crate::domain::ledger::event::{Event, EventKind, SettlePayload};
use crate::domain::ledger::order::{OrderState, UsageSource};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Estimates are looked at among so many last settlements, once there are enough of them.
const RECENT: usize = 1000;
const RECENT_LEAST: usize = 100;
/// More estimates than this share of them is a notice.
const ESTIMATED_PERCENT_MAX: usize = 20;
/// An estimate should have been replaced by evidence after this long.
const PROVISIONAL_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// Margins are kept for so many hours.
const MARGIN_HOURS: i64 = 48;

/// What is remembered of the settlements.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    settled: i64,
    /// Of the last settlements that used something: was it an estimate?
    recent: VecDeque<bool>,
    /// Orders settled on an estimate, and when.
    provisional: FastMap<OrderId, i64>,
    /// Orders served without a price, and where.
    unpriced: FastMap<OrderId, Arc<str>>,
    /// Sold below cost, by endpoint: orders, and how much is missing.
    below_cost: BTreeMap<Arc<str>, (i64, i64)>,
    /// What calls that ended within an hour were charged, and what they cost, by endpoint.
    margins: BTreeMap<(i64, Arc<str>), (i64, i64)>,
    /// Where a provider reports another cost than the pinned price makes, by endpoint.
    price_drift: BTreeMap<Arc<str>, PriceDrift>,
}

/// How far one price sheet is from what the provider reports.
#[derive(Debug, Default)]
struct PriceDrift {
    /// Its content hash. Another one in force is another story: what the old one missed stays in the books.
    sheet: String,
    orders: i64,
    /// How much more is reported.
    nano: i64,
    /// The entry that is furthest off, and by how much.
    worst: (i64, i64),
}

/// Providers print their figures rounded, and compute them in floats: what is closer to the price than this agrees with it.
const DRIFT_PERMILLE_MAX: u64 = 5;
const DRIFT_NANO_MAX: u64 = 10;

/// What an exact charge may be rounded to at most: something is never charged as nothing.
fn most(charge: Exact) -> Option<Money> {
    let rounded = charge.round(Rounding::HalfEven)?;
    Some(if rounded.is_zero() && !charge.is_zero() { Money::nano(1) } else { rounded })
}

impl Verifier {
    /// A provider reports what a call cost, and the price that the order is pinned to makes `computed`.
    pub(super) fn price_drift(&mut self, seq: i64, settled: &SettlePayload, computed: Exact, reported: Exact) {
        let nano = |exact: Exact| exact.round(Rounding::HalfEven).map(Money::as_nano);
        let (Some(endpoint), Some(sheet)) = (settled.endpoint.as_ref(), settled.price.as_ref()) else { return };
        let (Some(made), Some(reported)) = (nano(computed), nano(reported)) else { return };
        let drift = self.conduct.price_drift.entry(Arc::clone(endpoint)).or_default();
        if drift.sheet != *sheet {
            *drift = PriceDrift { sheet: sheet.clone(), ..PriceDrift::default() };
        }
        let off = reported.saturating_sub(made);
        let tolerated = (made.unsigned_abs() / 1000).saturating_mul(DRIFT_PERMILLE_MAX).max(DRIFT_NANO_MAX);
        if off.unsigned_abs() > tolerated {
            (drift.orders, drift.nano) = (drift.orders + 1, drift.nano.saturating_add(off));
            if off.unsigned_abs() > drift.worst.1.unsigned_abs() {
                drift.worst = (seq, off);
            }
        }
    }

    /// Looks at one settlement.
    pub(super) fn conduct(&mut self, event: &Event, id: OrderId, settled: &SettlePayload) {
        self.rounding(id, settled);
        self.attempts(id, settled);
        let correction = event.kind == EventKind::TrueUp;
        let conduct = &mut self.conduct;
        if settled.usage_source != UsageSource::None && !correction {
            conduct.settled += 1;
            conduct.recent.push_back(settled.usage_source == UsageSource::Estimated);
            if conduct.recent.len() > RECENT {
                conduct.recent.pop_front();
            }
        }
        conduct.provisional.remove(&id);
        conduct.unpriced.remove(&id);
        if settled.state == OrderState::Provisional {
            conduct.provisional.insert(id, event.ts.0);
        }
        let endpoint = settled.endpoint.clone().or_else(|| settled.provider.clone()).unwrap_or_default();
        if settled.state == OrderState::Unpriced {
            conduct.unpriced.insert(id, Arc::clone(&endpoint));
        }
        if let (Some(charge), Some(cost)) = (settled.charge_nano, settled.cost_nano)
            && !correction
        {
            // What a policy leaves with the platform, and what the wallet could not pay, is no price.
            let (sold, cost) = (charge.saturating_add(settled.absorbed_nano), cost.saturating_sub(settled.loss_nano));
            conduct.margin(event.ts, &endpoint, sold, cost);
            let missing = cost.saturating_sub(sold);
            if missing > 0 {
                let sum = conduct.below_cost.entry(endpoint).or_default();
                *sum = (sum.0 + 1, sum.1.saturating_add(missing));
            }
        }
        if settled.usage_source == UsageSource::None && settled.usage != Usage::default() {
            let detail = format!("order {id} says that nothing was used, and counts usage all the same");
            self.find(Check::R10, Subject::Order(id), detail);
        }
    }

    fn rounding(&mut self, id: OrderId, settled: &SettlePayload) {
        let cost = settled.cost_exact.and_then(|cost| cost.round(Rounding::HalfEven)).map(Money::as_nano);
        if let (Some(want), Some(got)) = (cost, settled.cost_nano)
            && want != got
        {
            let detail = format!("order {id}: its exact cost rounds to {want} nano and {got} nano are booked");
            self.report.add(Finding::new(Check::R09, Subject::Order(id), detail).off(want, got));
        }
        let charge = settled.charge_exact.and_then(most).map(Money::as_nano);
        let asked = settled.charge_nano.map(|charge| charge.saturating_add(settled.absorbed_nano));
        if let (Some(most), Some(asked)) = (charge, asked)
            && asked > most
        {
            let detail = format!("order {id}: its exact charge rounds to {most} nano and {asked} nano were asked for");
            self.report.add(Finding::new(Check::R09, Subject::Order(id), detail).off(most, asked));
        }
    }

    fn attempts(&mut self, id: OrderId, settled: &SettlePayload) {
        let count = |outcome: AttemptOutcome| settled.attempts.iter().filter(|attempt| attempt.outcome == outcome).count();
        if count(AttemptOutcome::Served) > 1 {
            self.find(Check::R13, Subject::Order(id), format!("order {id}: more than one attempt is said to have served it"));
        }
        if count(AttemptOutcome::Dispatched) > 0 {
            self.find(Check::R13, Subject::Order(id), format!("order {id}: an attempt was sent and has no outcome"));
        }
        let charged = settled.charge_nano.unwrap_or(0) > 0 && settled.usage_source != UsageSource::Cache;
        let by_an_attempt = settled.attempts.iter().any(|attempt| Some(&attempt.endpoint) == settled.endpoint.as_ref());
        if charged && !settled.attempts.is_empty() && !by_an_attempt {
            self.find(Check::R13, Subject::Order(id), format!("order {id}: no attempt was made at the endpoint that it is charged for"));
        }
    }
}

impl Conduct {
    /// Adds a call to its hour; the oldest hours are let go.
    fn margin(&mut self, at: Timestamp, endpoint: &Arc<str>, sold: i64, cost: i64) {
        let hour = at.0.div_euclid(HOUR_MS);
        let sums = self.margins.entry((hour, Arc::clone(endpoint))).or_default();
        *sums = (sums.0.saturating_add(sold), sums.1.saturating_add(cost));
        while self.margins.first_key_value().is_some_and(|((first, _), _)| *first <= hour - MARGIN_HOURS) {
            self.margins.pop_first();
        }
    }

    /// Endpoints whose calls together were sold below their cost, each by its latest such hour: one call may be made good by others.
    fn losing_hours(&self) -> impl Iterator<Item = Finding> {
        let losing = self.margins.iter().filter(|(_, (sold, cost))| cost > sold);
        let latest: BTreeMap<&Arc<str>, (i64, i64, i64)> =
            losing.map(|((hour, endpoint), (sold, cost))| (endpoint, (*hour, *sold, *cost))).collect();
        latest.into_iter().map(|(endpoint, (hour, sold, cost))| {
            let at = Timestamp(hour * HOUR_MS);
            let detail = format!("in the hour from {at} all calls at {endpoint} together cost {cost} nano and were sold for {sold}");
            Finding::new(Check::R15, Subject::Endpoint(format!("{endpoint} (hour)").into()), detail).off(0, sold.saturating_sub(cost))
        })
    }

    /// Orders settled, and those that wait for evidence.
    pub(super) fn figures(&self) -> (i64, i64) {
        (self.settled, i64::try_from(self.provisional.len()).unwrap_or(i64::MAX))
    }

    /// What is to be said at the end of a pass.
    pub(super) fn notices(&self, now: Timestamp) -> Vec<Finding> {
        let mut notices = Vec::new();
        let (count, estimated) = (self.recent.len(), self.recent.iter().filter(|estimated| **estimated).count());
        if count >= RECENT_LEAST && estimated * 100 > count * ESTIMATED_PERCENT_MAX {
            let detail = format!("{estimated} of the last {count} settlements are estimates: providers send no usage");
            let limit = format!("at most {ESTIMATED_PERCENT_MAX} %");
            notices.push(Finding::new(Check::R10, Subject::Ledger, detail).between(limit, format!("{} %", estimated * 100 / count)));
        }
        let old = self.provisional.values().filter(|at| at.saturating_add(PROVISIONAL_MS) < now.0).count();
        if old > 0 {
            let detail = format!("{old} orders are provisional for more than a day: reconcile with the providers' files (level 1)");
            notices.push(Finding::new(Check::R10, Subject::Endpoint("provisional".into()), detail).between(0, old));
        }
        let mut unpriced: BTreeMap<&Arc<str>, i64> = BTreeMap::new();
        for endpoint in self.unpriced.values() {
            *unpriced.entry(endpoint).or_default() += 1;
        }
        for (endpoint, orders) in unpriced {
            let detail = format!("{orders} orders were served by {endpoint}, which has no price: their cost is unknown");
            notices.push(Finding::new(Check::R14, Subject::Endpoint(Arc::clone(endpoint)), detail).between(0, orders));
        }
        for (endpoint, (orders, missing)) in &self.below_cost {
            let detail = format!("{orders} orders at {endpoint} were sold {missing} nano below their cost");
            notices.push(Finding::new(Check::R15, Subject::Endpoint(Arc::clone(endpoint)), detail).off(0, -missing));
        }
        notices.extend(self.losing_hours());
        for (endpoint, drift) in self.price_drift.iter().filter(|(_, drift)| drift.orders > 0) {
            let PriceDrift { orders, nano, worst: (seq, off), .. } = drift;
            let detail = format!(
                "{orders} orders at {endpoint} cost {nano:+} nano against their price, as the provider reports it; entry {seq} is furthest \
                 off, by {off:+} nano"
            );
            notices.push(Finding::new(Check::R14, Subject::Endpoint(format!("{endpoint} (price)").into()), detail).off(0, *nano));
        }
        notices
    }
}
