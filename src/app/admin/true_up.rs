//! Owns: evidence about an order that has ended: what was really used and what it really cost, rated by the sheet and the terms that
//! the order is pinned to.
//! Refuses to know: new prices (`rerate`), which postings follow (the ledger).

use super::booking::{book, refuse, text};
use super::closings::Closings;
use super::{read, receipt};
use crate::app::Gateway;
use crate::app::gateway::op_id;
use crate::base::{Error, ErrorKind, Exact, Money, OrderId, Result};
use crate::domain::catalog::{PinnedPrice, Sell, Usage};
use crate::domain::ledger::{
    Action, Amounts, Follows, Ledger, LedgerReader, Loss, OrderReceipt, OrderState, Rated, SettlePayload, TrueUp, UsageSource,
};
use crate::protocol::billing;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    order: String,
    /// The provider's own count, all of it, by meter.
    usage: Option<Usage>,
    /// What the provider reports as the cost: decimal USD, however fine.
    cost: Option<String>,
    /// What attempts that did not serve really cost, by provider.
    #[serde(default)]
    losses: BTreeMap<String, String>,
    reason: String,
    /// What makes this evidence the same as another. Without: the reason.
    reference: Option<String>,
}

fn conflict(why: String) -> Error {
    Error::new(ErrorKind::Conflict, why).with_param("order")
}

/// Zero or more.
fn exact(text: &str, param: &'static str) -> Result<Exact> {
    let amount = billing::usd(text).filter(|amount| !amount.is_negative());
    amount.ok_or_else(|| refuse(format!("'{text}' is no amount of USD such as 0.0012"), param))
}

pub(super) fn true_up(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: Arguments = read(arguments)?;
    let id: OrderId = asked.order.parse().map_err(|()| refuse(format!("'{}' is not an order id (ord_…)", asked.order), "order"))?;
    let reason = text(&asked.reason, "reason")?;
    let reference = text(asked.reference.as_deref().unwrap_or(&reason), "reference")?;
    if asked.usage.is_none() && asked.cost.is_none() && asked.losses.is_empty() {
        return Err(refuse("evidence is a 'usage', a 'cost', or 'losses' of attempts that did not serve", "usage"));
    }
    let unknown = || Error::new(ErrorKind::NotFound, format!("there is no order '{id}'"));
    let found = || gateway.ledger.order(id)?.ok_or_else(unknown);
    let before = found()?;
    let op = op_id(&["true_up", &id.to_string(), &reference]);
    if gateway.ledger.operation(op)?.is_none() {
        losses_are_open(gateway, &before, &asked.losses)?;
    }
    let evidence = evidence(gateway, &before, &asked)?;
    let booked = book(gateway, op, actor, &reason, Action::TrueUp(Box::new(evidence)), &id.to_string())?;
    let after = found()?;
    let figures =
        |order: &OrderReceipt| json!({ "state": order.order.state.name(), "charge": order.order.charge, "cost": order.order.cost });
    let mut shown = receipt(&after);
    shown["before"] = figures(&before);
    shown["entry_seq"] = booked.seq.into();
    shown["duplicate"] = booked.duplicate.into();
    Ok(shown)
}

/// What an attempt that did not serve cost is nobody's but the platform's: a bill that was closed has all there is to say of it.
fn losses_are_open(gateway: &Gateway, order: &OrderReceipt, losses: &BTreeMap<String, String>) -> Result<()> {
    for provider in losses.keys() {
        if Closings::of(gateway, provider)?.account(order).is_some() {
            let why = format!(
                "the bill of '{provider}' for the day of this order is closed and has this cost already; if the bill was wrong, compare a \
                 new one with `gotoai ledger reconcile`"
            );
            return Err(Error::new(ErrorKind::Conflict, why).with_param("losses"));
        }
    }
    Ok(())
}

fn evidence(gateway: &Gateway, order: &OrderReceipt, asked: &Arguments) -> Result<TrueUp> {
    let (row, id) = (&order.order, order.order.id);
    let Some(settled) = &order.settlement else { return Err(conflict(format!("order '{id}' is still open"))) };
    let cost = asked.cost.as_deref().map(|text| exact(text, "cost")).transpose()?;
    let (rated, usage, usage_source, amounts) = match row.state {
        OrderState::Reserved => return Err(conflict(format!("order '{id}' is still open"))),
        OrderState::Expired => return Err(conflict(format!("the hold of order '{id}' has expired, and it may still be settled"))),
        OrderState::Unpriced => {
            return Err(conflict(format!("order '{id}' has no price yet: give it one with ledger.rerate, which charges it")));
        }
        OrderState::Released => {
            let booked = row.cost.and_then(|cost| Exact::new(cost.as_nano().into(), 1));
            let needed = || refuse(format!("order '{id}' was charged nothing: say what its provider bills for it"), "cost");
            let cost = cost.or(booked).ok_or_else(needed)?;
            let usage = asked.usage.unwrap_or(settled.usage);
            let source = if usage == Usage::default() { UsageSource::None } else { UsageSource::Provider };
            (None, usage, source, Amounts::ZERO.at_cost(cost)?)
        }
        OrderState::Finalized | OrderState::LateSettled | OrderState::Provisional => of_served(gateway, order, settled, asked.usage, cost)?,
    };
    let loss = |(provider, text): (&String, &String)| {
        let cost = exact(text, "losses")?.round(crate::base::Rounding::HalfEven).map(Money::as_nano);
        let cost_nano = cost.ok_or_else(|| refuse(format!("'{text}' is beyond any amount"), "losses"))?;
        Ok(Loss { provider: provider.as_str().into(), cost_nano })
    };
    let losses = asked.losses.iter().map(loss).collect::<Result<_>>()?;
    let closings = Closings::of(gateway, settled.provider.as_deref().unwrap_or(&row.provider))?;
    Ok(TrueUp { losses, ..following(order, settled, &closings, rated, (usage, usage_source), amounts) })
}

type Evidence = (Option<Rated>, Usage, UsageSource, Amounts);

fn of_served(
    gateway: &Gateway,
    order: &OrderReceipt,
    settled: &SettlePayload,
    told: Option<Usage>,
    cost: Option<Exact>,
) -> Result<Evidence> {
    let mut terms = pinned(gateway, order, settled, None)?;
    if cost.is_some() && terms.upstream.is_some() {
        return Err(refuse("the call was made on the user's own provider key: its cost is none of ours", "cost"));
    }
    // What the reply itself has named is no news: the charge was an estimate beside it.
    let is_news = cost.is_some() && cost != settled.reported_cost();
    terms.reported = cost.or(terms.reported);
    let usage = told.unwrap_or(settled.usage);
    let usage_source = if told.is_some() { UsageSource::Provider } else { settled.usage_source };
    let by_markup = matches!(terms.sell, Sell::Markup(_));
    let estimate = terms.price.sheet.amount(&usage, &terms.rating).ok().and_then(|cost| cost.round(crate::base::Rounding::HalfEven));
    let (mut amounts, rated) = terms.rate(&usage)?;
    // Where even the usage is an estimate, a lower cost speaks for a lower charge.
    if let Some(estimate) = estimate
        && usage_source == UsageSource::Estimated
        && by_markup
        && is_news
        && amounts.cost < estimate
    {
        amounts = amounts.in_proportion(amounts.cost, estimate);
    }
    // A settlement policy that took no fee takes none now.
    if settled.outcome.is_some() && order.order.fee == Some(Money::ZERO) {
        amounts = amounts.charged(amounts.pass_through, Money::ZERO, Money::ZERO);
    }
    Ok((Some(rated), usage, usage_source, amounts))
}

/// The terms that an order is pinned to, on its own sheet or on another one.
pub(super) fn pinned(gateway: &Gateway, order: &OrderReceipt, settled: &SettlePayload, price: Option<Arc<PinnedPrice>>) -> Result<Rated> {
    let lost = || Error::new(ErrorKind::Storage, format!("the price of order '{}' is not stored", order.order.id));
    let sheet = |hash: &String| gateway.ledger.price_sheet(hash)?.ok_or_else(lost);
    let terms = settled.rated.as_ref().ok_or_else(lost)?;
    let price = price.map_or_else(|| sheet(settled.price.as_ref().ok_or_else(lost)?), Ok)?;
    let mut rated = terms.on(price, terms.sell.as_ref().map(sheet).transpose()?);
    rated.reported = terms.reported_cost_exact;
    Ok(rated)
}

/// The true-up of what the order's last settlement says.
pub(super) fn following(
    order: &OrderReceipt,
    settled: &SettlePayload,
    closings: &Closings,
    rated: Option<Rated>,
    (usage, usage_source): (Usage, UsageSource),
    amounts: Amounts,
) -> TrueUp {
    let (seq, closed) = (order.order.final_seq.unwrap_or(0), closings.account(order));
    let follows = Follows { seq, settled: settled.clone(), as_of_seq: closings.as_of_seq, closed };
    TrueUp {
        order: order.order.id,
        provider: settled.provider.clone().unwrap_or_else(|| (*order.order.provider).into()),
        endpoint: settled.endpoint.clone().or_else(|| Some((*order.reserve.endpoint).into())),
        rated,
        usage,
        usage_source,
        amounts,
        losses: Vec::new(),
        follows: Some(Box::new(follows)),
    }
}
