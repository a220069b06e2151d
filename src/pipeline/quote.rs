//! Owns: what a call costs and is sold for at one endpoint: the price in force, the organisation's markup, the builder's share,
//! and whether the caller brings a provider key of its own.
//! Refuses to know: holds and postings (ledger).

use super::context::Context;
use crate::base::{Exact, Money, Ratio, Result};
use crate::domain::catalog::{Endpoint, PinnedPrice, Rating, Sell, ServiceTier, Usage, sell_for};
use crate::domain::ledger::{Amounts, Rated, hold_for, own_key_hold_for};
use crate::protocol::openai::RequestFacts;
use std::sync::Arc;

/// The terms under which one endpoint serves one call. Made from the call's own snapshot and terms, so a change in flight changes
/// nothing.
pub(super) struct Quote<'a> {
    /// In force when the call began.
    price: &'a Arc<PinnedPrice>,
    own_key: bool,
    asked: Rating,
    sell: Sell,
    builder: Ratio,
}

impl Context {
    /// What the call asks to be rated by: its tier, and the time of its start.
    pub(super) fn asked(&self, facts: &RequestFacts) -> Rating {
        Rating { tier: ServiceTier::asked(facts.service_tier.as_deref()), at: self.began_at }
    }

    /// `None`: nobody knows a price.
    pub(super) fn quote<'a>(&self, facts: &RequestFacts, endpoint: &'a Endpoint) -> Option<Quote<'a>> {
        let price = endpoint.price_at(self.began_at)?;
        let own = self.terms.as_ref().map_or(&[][..], |wallet| &wallet.terms.markup);
        let sell = sell_for(own, &self.snapshot.markup, self.snapshot.fee, &endpoint.provider_name, &endpoint.model);
        let builder = self.principal.as_ref().and_then(|principal| principal.builder.as_ref()).map_or(Ratio::ZERO, |(_, share)| *share);
        Some(Quote { price, own_key: endpoint.own_key, asked: self.asked(facts), sell, builder })
    }
}

impl Quote<'_> {
    /// The most that a call that uses at most `most` may be charged.
    pub(super) fn hold(&self, most: &Usage) -> Result<Money> {
        let bound = if self.own_key { own_key_hold_for } else { hold_for };
        bound(&self.price.sheet, most, &self.asked, &self.sell, self.builder)
    }

    /// Is there a price for all that was used, in the tier that the reply names? What is charged is else less than the
    /// provider will bill.
    pub(super) fn covers(&self, usage: &Usage, served: Option<&str>) -> bool {
        let sheet = &self.price.sheet;
        sheet.unpriced(usage).is_none() && served.is_none_or(|name| sheet.sells(ServiceTier::served(Some(name), self.asked.tier)))
    }

    /// What real usage costs and is charged, and what these amounts were made of. `served`: the tier that the reply names;
    /// `reported`: what the provider says that it cost, which changes the cost and never the charge.
    pub(super) fn settle(&self, usage: &Usage, served: Option<&str>, reported: Option<Exact>) -> Result<(Amounts, Rated)> {
        let rating = Rating { tier: ServiceTier::served(served, self.asked.tier), ..self.asked };
        let rated = Rated {
            price: Arc::clone(self.price),
            rating,
            sell: self.sell.clone(),
            builder: self.builder,
            upstream: self.own_key.then_some(Exact::ZERO),
            reported,
        };
        rated.rate(usage)
    }
}
