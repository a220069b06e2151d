//! Owns: what calls have come to, with an error bar: what is known, what is estimated, and how much it may still be at most.
//! Refuses to know: how orders are found and grouped rows are shown.
//!
//! An attempt that was sent and whose usage nobody told may cost nothing or as much as the order held for it: its bounds are
//! [0, hold], whatever estimate is booked meanwhile.

use super::command::{Attempt, AttemptOutcome};
use super::event::SettlePayload;
use super::order::{CostSource, OrderState, UsageSource};
use super::reader::Span;
use super::store::OrderReceipt;
use crate::base::{Date, Money};
use serde::Deserialize;
use std::ops::AddAssign;

/// What rows of a report are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// When the call ended (while it is open: began), UTC.
    Day,
    Provider,
    /// `provider/model`.
    Endpoint,
    Wallet,
    Key,
    UserPath,
}

impl Dimension {
    pub const ALL: [Self; 6] = [Self::Day, Self::Provider, Self::Endpoint, Self::Wallet, Self::Key, Self::UserPath];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Provider => "provider",
            Self::Endpoint => "endpoint",
            Self::Wallet => "wallet",
            Self::Key => "key",
            Self::UserPath => "user_path",
        }
    }
}

/// Whose calls, of which time, told apart by what.
#[derive(Clone, Debug)]
pub struct SpendQuery {
    pub span: Span,
    pub wallet: Option<String>,
    pub by: Vec<Dimension>,
}

/// Sums over calls. Amounts in nano-units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    pub orders: u64,
    pub open_orders: u64,
    /// Used or tried without a price: the charge has no bound, and the cost none but where the provider reported it.
    pub unpriced_orders: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Charged on the provider's count, less what was refunded.
    pub known_nano: i128,
    /// Charged on an estimate.
    pub provisional_nano: i128,
    /// May still be charged: the holds of open orders.
    pub held_nano: i128,
    /// The part of what was charged that is not the provider's.
    pub fee_nano: i128,
    pub refunded_nano: i128,
    /// What providers counted, or said that it costs.
    pub cost_known_nano: i128,
    /// The part of it that is the providers' own figure, and not their count at our price.
    pub cost_reported_nano: i128,
    /// Booked without a count.
    pub cost_estimated_nano: i128,
    /// Beyond what is known, providers may bill so much at most, whatever is estimated.
    pub cost_uncertain_max_nano: i128,
}

impl AddAssign for Spend {
    fn add_assign(&mut self, other: Self) {
        self.orders += other.orders;
        self.open_orders += other.open_orders;
        self.unpriced_orders += other.unpriced_orders;
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.known_nano += other.known_nano;
        self.provisional_nano += other.provisional_nano;
        self.held_nano += other.held_nano;
        self.fee_nano += other.fee_nano;
        self.refunded_nano += other.refunded_nano;
        self.cost_known_nano += other.cost_known_nano;
        self.cost_reported_nano += other.cost_reported_nano;
        self.cost_estimated_nano += other.cost_estimated_nano;
        self.cost_uncertain_max_nano += other.cost_uncertain_max_nano;
    }
}

impl Attempt {
    /// Was it sent, so that its provider may bill it although it told no usage?
    pub fn may_bill(&self) -> bool {
        match self.outcome {
            AttemptOutcome::Dispatched
            | AttemptOutcome::Served
            | AttemptOutcome::Timeout
            | AttemptOutcome::Broken
            | AttemptOutcome::Abandoned => true,
            // A refusal costs nothing; a provider that failed may have worked before it did.
            AttemptOutcome::Rejected => self.status.is_some_and(|status| status == 408 || status >= 500),
            AttemptOutcome::Unreachable => false,
        }
    }
}

impl OrderReceipt {
    /// What the call has come to, by endpoint: charge and count where it was served, the rest where it was tried.
    pub fn spend(&self) -> Vec<(&str, Spend)> {
        let mut spends = vec![(self.endpoint(), self.served())];
        let mut add = |endpoint, spend| spends.push((endpoint, spend));
        for endpoint in self.untold() {
            add(endpoint, Spend { cost_uncertain_max_nano: i128::from(self.order.hold.as_nano()), ..Spend::default() });
        }
        let Some(settled) = &self.settlement else { return spends };
        for loss in &settled.losses {
            add(self.tried_at(&loss.provider), Spend { cost_estimated_nano: i128::from(loss.cost_nano), ..Spend::default() });
        }
        for loss in &settled.confirmed {
            let cost_nano = i128::from(loss.cost_nano);
            add(self.tried_at(&loss.provider), Spend { cost_known_nano: cost_nano, cost_reported_nano: cost_nano, ..Spend::default() });
        }
        if self.has_crashed() && self.order.cost.is_none() {
            let cost_estimated_nano = i128::from(self.order.input_cost.as_nano());
            add(&self.reserve.endpoint, Spend { cost_estimated_nano, ..Spend::default() });
        }
        spends
    }

    /// The most that providers may bill beyond what they have counted.
    pub fn cost_uncertain_max(&self) -> Money {
        let hold = self.order.hold.as_nano();
        Money::nano(self.untold().fold(0, |sum: i64, _| sum.saturating_add(hold)))
    }

    fn endpoint(&self) -> &str {
        self.settlement.as_ref().and_then(|settled| settled.endpoint.as_deref()).unwrap_or(&self.reserve.endpoint)
    }

    fn has_crashed(&self) -> bool {
        self.settlement.as_ref().is_some_and(SettlePayload::has_crashed)
    }

    fn served(&self) -> Spend {
        let nano = |money: Option<Money>| i128::from(money.map_or(0, Money::as_nano));
        let order = &self.order;
        let charge = nano(order.charge) - nano(Some(order.refunded));
        let mut spend = Spend { orders: 1, fee_nano: nano(order.fee), refunded_nano: nano(Some(order.refunded)), ..Spend::default() };
        match order.state {
            OrderState::Reserved => (spend.open_orders, spend.held_nano) = (1, nano(Some(order.hold))),
            OrderState::Finalized | OrderState::LateSettled => spend.known_nano = charge,
            OrderState::Provisional => spend.provisional_nano = charge,
            OrderState::Released | OrderState::Expired | OrderState::Unpriced => {}
        }
        spend.unpriced_orders = u64::from(self.has_no_bound());
        let Some(settled) = &self.settlement else { return spend };
        (spend.input_tokens, spend.output_tokens) = (settled.usage.input_tokens(), settled.usage.output_tokens());
        let cost = if self.is_counted() { &mut spend.cost_known_nano } else { &mut spend.cost_estimated_nano };
        *cost = nano(order.cost);
        if settled.cost_source == CostSource::Reported {
            spend.cost_reported_nano = nano(order.cost);
        }
        spend
    }

    /// Used without a price, or sent without one and of unknown use: nothing was held, so nothing bounds it.
    pub fn has_no_bound(&self) -> bool {
        self.order.state == OrderState::Unpriced || (!self.reserve.priced && self.untold().next().is_some())
    }

    /// The endpoints of attempts that were sent and of which nobody knows what they used.
    fn untold(&self) -> impl Iterator<Item = &str> {
        let settled = self.settlement.as_ref();
        let attempts = settled.map_or(&[][..], |settled| &settled.attempts);
        // What came to no end of its own has no list: the first attempt is the reserve's, the others were noted one by one.
        let unlisted = settled.is_none() || self.order.state == OrderState::Expired || self.has_crashed();
        let noted = std::iter::once(&*self.reserve.endpoint).chain(self.dispatched.iter().map(|attempt| &*attempt.endpoint));
        let billed = settled.map_or(&[][..], |settled| &settled.confirmed);
        let is_billed = |endpoint: &str| billed.iter().any(|loss| provider_of(endpoint) == &*loss.provider);
        let open = attempts.iter().filter(|attempt| attempt.may_bill() && !is_billed(&attempt.endpoint));
        let listed = open.map(|attempt| &*attempt.endpoint);
        let mut sent: Vec<&str> = noted.filter(|_| unlisted).chain(listed).collect();
        if self.is_counted() {
            // The last one is the one that told.
            sent.pop();
        }
        // What the users' own key pays is no cost of ours.
        let own_key = settled.and_then(|settled| settled.rated.as_ref()).is_some_and(|rated| rated.upstream_cost_exact.is_some());
        sent.into_iter().filter(move |_| !own_key)
    }

    /// Has the provider said what was used, or what it bills?
    fn is_counted(&self) -> bool {
        let Some(settled) = &self.settlement else { return false };
        match settled.usage_source {
            UsageSource::Provider | UsageSource::Cache => true,
            UsageSource::Estimated => settled.cost_source == CostSource::Reported,
            // Nothing was charged; a cost is there only where its bill came.
            UsageSource::None => self.order.cost.is_some_and(|cost| !cost.is_zero()),
        }
    }

    fn tried_at<'a>(&'a self, provider: &'a str) -> &'a str {
        let attempts = self.settlement.iter().flat_map(|settled| &settled.attempts);
        attempts.map(|attempt| &*attempt.endpoint).find(|endpoint| provider_of(endpoint) == provider).unwrap_or(provider)
    }

    /// What the call counts as under this dimension, for a part of it at `endpoint`.
    pub fn group(&self, by: Dimension, endpoint: &str) -> String {
        match by {
            Dimension::Day => Date::of(self.order.finished_at.unwrap_or(self.order.created_at)).to_string(),
            Dimension::Provider => provider_of(endpoint).to_owned(),
            Dimension::Endpoint => endpoint.to_owned(),
            Dimension::Wallet => self.wallet.to_string(),
            Dimension::Key => self.reserve.key.clone().unwrap_or_default(),
            Dimension::UserPath => self.reserve.user_path.to_string(),
        }
    }
}

/// An endpoint is `provider/model`.
fn provider_of(endpoint: &str) -> &str {
    endpoint.split_once('/').map_or(endpoint, |(provider, _)| provider)
}
