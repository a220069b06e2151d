//! Owns: what an order refers to for ever: the price sheet, how it was read, and what was sold on top of it; and the way from
//! there back to the exact amounts.
//! Refuses to know: rounding and postings.

use super::chain::hex;
use super::order::CostSource;
use super::settle::{Amounts, own_key_amounts, settle_amounts};
use crate::base::{Exact, Ratio, Result, Timestamp};
use crate::domain::catalog::{PinnedPrice, PriceSheet, Rating, Sell, ServiceTier, Usage};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How an order was rated.
#[derive(Clone, Debug)]
pub struct Rated {
    pub price: Arc<PinnedPrice>,
    pub rating: Rating,
    pub sell: Sell,
    /// The builder's share of the cost, on top.
    pub builder: Ratio,
    /// The caller's own provider key was used: what the provider bills to that key, exactly. It is no cost of ours.
    pub upstream: Option<Exact>,
    /// What the provider itself says that the call cost: it goes before usage times price, for the cost only.
    pub reported: Option<Exact>,
}

/// The same as the journal keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RatedTerms {
    pub at_ms: i64,
    #[serde(skip_serializing_if = "is_standard")]
    pub tier: ServiceTier,
    /// Share on top of the cost, `num/den`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub markup: Option<Ratio>,
    /// Or the content hash of a sell price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sell: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builder: Option<Ratio>,
    /// Nano-units, `num` or `num/den`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_cost_exact: Option<Exact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_cost_exact: Option<Exact>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_standard(tier: &ServiceTier) -> bool {
    *tier == ServiceTier::Standard
}

impl Rated {
    /// The sheets it refers to.
    pub fn sheets(&self) -> impl Iterator<Item = &Arc<PinnedPrice>> {
        let sell = match &self.sell {
            Sell::Markup(_) => None,
            Sell::Sheet(pinned) => Some(pinned),
        };
        std::iter::once(&self.price).chain(sell)
    }

    /// What this usage comes to under these terms, and what the amounts were made of.
    pub fn rate(self, usage: &Usage) -> Result<(Amounts, Self)> {
        let sheet = &self.price.sheet;
        if self.upstream.is_some() {
            let (amounts, upstream) = own_key_amounts(usage, sheet, &self.rating, &self.sell, self.builder)?;
            return Ok((amounts, Self { upstream: Some(self.reported.unwrap_or(upstream)), ..self }));
        }
        let amounts = settle_amounts(usage, sheet, &self.rating, &self.sell, self.builder)?;
        let amounts = match self.reported {
            Some(cost) => amounts.at_cost(cost)?,
            None => amounts,
        };
        Ok((amounts, self))
    }

    /// What makes the cost.
    pub fn cost_source(&self) -> CostSource {
        if self.reported.is_some() { CostSource::Reported } else { CostSource::Computed }
    }

    pub fn terms(&self) -> RatedTerms {
        let (markup, sell) = match &self.sell {
            Sell::Markup(share) => (Some(*share), None),
            Sell::Sheet(pinned) => (None, Some(hex(&pinned.hash))),
        };
        RatedTerms {
            at_ms: self.rating.at.0,
            tier: self.rating.tier,
            markup,
            sell,
            builder: Some(self.builder).filter(|share| share.num > 0),
            upstream_cost_exact: self.upstream,
            reported_cost_exact: self.reported,
        }
    }
}

impl RatedTerms {
    /// The same terms on a sheet; `sell` is the one that they name, if they name one.
    pub fn on(&self, price: Arc<PinnedPrice>, sell: Option<Arc<PinnedPrice>>) -> Rated {
        Rated {
            price,
            rating: self.rating(),
            sell: sell.map_or_else(|| Sell::Markup(self.markup.unwrap_or(Ratio::ZERO)), Sell::Sheet),
            builder: self.builder.unwrap_or(Ratio::ZERO),
            upstream: self.upstream_cost_exact.as_ref().map(|_| Exact::ZERO),
            reported: None,
        }
    }

    pub fn rating(&self) -> Rating {
        Rating { tier: self.tier, at: Timestamp(self.at_ms) }
    }

    /// The exact charge again, from usage and sheets; `None` if the sell price is not at hand or a number grows too large.
    pub(super) fn charge(&self, usage: &Usage, cost: Exact, sheet: impl Fn(&str) -> Option<PriceSheet>) -> Option<Exact> {
        let price = match (&self.sell, self.markup) {
            (Some(hash), _) => sheet(hash)?.amount(usage, &self.rating()).ok()?,
            (None, share) => cost.with_share(share.unwrap_or(Ratio::ZERO))?,
        };
        price.checked_add(cost.share(self.builder.unwrap_or(Ratio::ZERO))?)
    }
}
