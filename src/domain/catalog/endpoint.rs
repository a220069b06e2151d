//! Owns: an endpoint, one model at one provider, with the facts that routing and money need.
//! Refuses to know: its current health (routing) and how it is called (the provider behind it).

use super::{PinnedPrice, PriceHistory, Rating, Usage};
use crate::base::{Exact, Timestamp};
use crate::domain::health::{EndpointHealth, RetryPolicy};
use crate::domain::provider::{Family, Provider};
use std::fmt;
use std::sync::Arc;

/// What happens to the data of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DataPolicy {
    /// The vendor's ordinary terms.
    #[default]
    Standard,
    /// Not retained and not trained on, by contract; an operator says so in the settings.
    NoRetention,
    /// Does not leave the operator's own machines.
    SelfHosted,
}

impl DataPolicy {
    /// Good enough for mode `privacy`?
    pub const fn is_private(self) -> bool {
        match self {
            Self::Standard => false,
            Self::NoRetention | Self::SelfHosted => true,
        }
    }
}

/// One model at one provider.
pub struct Endpoint {
    /// `provider/model`, unique.
    pub id: Arc<str>,
    pub provider_name: Arc<str>,
    pub family: &'static Family,
    /// The provider's own name of the model, as sent upstream.
    pub model: Arc<str>,
    /// What it costs, over time.
    pub prices: PriceHistory,
    /// Tokens of input and output together.
    pub context_window: Option<u64>,
    /// Tokens of output in one choice.
    pub max_output: Option<u64>,
    /// 0 to 100, higher is better; from settings.
    pub quality: Option<u8>,
    /// The same for code.
    pub code_quality: Option<u8>,
    pub data_policy: DataPolicy,
    /// The provider key behind it is the users' own: the provider bills them, we charge only the fee.
    pub own_key: bool,
    pub retry: RetryPolicy,
    /// Order of declaration: breaks ties.
    pub rank: u32,
    pub provider: Arc<dyn Provider>,
    /// Lives across snapshots.
    pub health: Arc<EndpointHealth>,
}

impl Endpoint {
    /// The price of a call that begins at `at`. `None`: nobody knows it. Never the same as free.
    pub fn price_at(&self, at: Timestamp) -> Option<&Arc<PinnedPrice>> {
        self.prices.at(at)
    }

    /// What a million input and a million output tokens cost at base price, to compare endpoints; `None` if unpriced.
    pub fn blended_price(&self, at: Timestamp) -> Option<Exact> {
        let usage = Usage::default().with(super::Meter::InputUncached, 1_000_000).with(super::Meter::OutputText, 1_000_000);
        self.price_at(at).and_then(|price| price.sheet.amount(&usage, &Rating::standard(at)).ok())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.id)
    }
}
