//! Owns: which closed bills have an order's cost already, so that evidence about it is not booked as a cost once more.
//! Refuses to know: how a bill is closed (`reconcile`), and what follows for the order (the ledger).

use crate::app::Gateway;
use crate::base::{Date, Result};
use crate::domain::ledger::OrderReceipt;
use crate::domain::reconcile::{Books, ClosedGap};
use std::sync::Arc;

/// The closed bills of one provider, as of an entry of the journal.
pub(super) struct Closings {
    provider: String,
    gaps: Vec<ClosedGap>,
    pub(super) as_of_seq: i64,
}

impl Closings {
    pub(super) fn of(gateway: &Gateway, provider: &str) -> Result<Self> {
        let as_of_seq = gateway.database.last_seq()?;
        Ok(Self { provider: provider.to_owned(), gaps: gateway.database.closed(provider)?, as_of_seq })
    }

    /// The account that the difference of the order's day was moved to, if that day is closed. Of several bills the last one that
    /// has moved anything speaks.
    pub(super) fn account(&self, order: &OrderReceipt) -> Option<Arc<str>> {
        let row = &order.order;
        let settled = order.settlement.as_ref();
        let own_key = settled.and_then(|settled| settled.rated.as_ref()).is_some_and(|rated| rated.upstream_cost_exact.is_some());
        if own_key {
            return None;
        }
        // When a call ended whose gateway died, nobody knows.
        let ended = row.finished_at.filter(|_| settled.is_none_or(|settled| !settled.has_crashed())).unwrap_or(row.created_at);
        let days = (Date::of(row.created_at), Date::of(ended));
        let (model, key) = (self.model(order), order.reserve.key.as_deref());
        let mut found = self.gaps.iter().rev().filter(|gap| gap.has(days, model, key)).peekable();
        let last = *found.peek()?;
        let moved = found.find(|gap| gap.cost_nano != 0 || gap.suspense_nano != 0).unwrap_or(last);
        Some(moved.account.as_str().into())
    }

    /// The model that the provider bills the order as: that of the attempt there.
    fn model<'a>(&self, order: &'a OrderReceipt) -> &'a str {
        let here = |endpoint: &'a str| endpoint.strip_prefix(&*self.provider)?.strip_prefix('/');
        let settled = order.settlement.as_ref();
        let served = settled.and_then(|settled| settled.endpoint.as_deref());
        let tried = settled.into_iter().flat_map(|settled| &settled.attempts).map(|attempt| &*attempt.endpoint);
        let reserved = &*order.reserve.endpoint;
        served.into_iter().chain(tried).chain([reserved]).find_map(here).unwrap_or(reserved)
    }
}
