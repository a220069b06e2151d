//! Owns: rating the orders of one model again, when its price was wrong or came later: a page of orders at a time, shown first and
//! booked when asked to.
//! Refuses to know: which postings follow (the ledger).

use super::booking::{refuse, text};
use super::closings::Closings;
use super::read;
use super::true_up::{following, pinned};
use crate::app::Gateway;
use crate::app::gateway::op_id;
use crate::app::settings::read_price;
use crate::base::{Date, Error, ErrorKind, Exact, Money, OrderId, Ratio, Result};
use crate::domain::catalog::{Endpoint, PinnedPrice, Rating, Sell, sell_for};
use crate::domain::identity::KeyStore;
use crate::domain::ledger::{
    Action, Amounts, Command, Ledger, LedgerReader, Operation, OrderReceipt, OrderState, Rated, Refusal, Reply, SettlePayload,
    SettledQuery, Span, Ticket, TrueUp, corrected_charge, hex,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;

const PAGE_DEFAULT: usize = 500;
const PAGE_MAX: usize = 5000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    provider: String,
    /// The provider's own name of the model.
    model: String,
    /// First and last day of the calls (UTC), both included.
    from: Option<String>,
    to: Option<String>,
    /// The members of a model's price in the settings, as texts. Without: what the price book and the settings say today, each
    /// call by the price of its own time.
    price: Option<Map<String, Value>>,
    /// Otherwise it only shows.
    #[serde(default)]
    apply: bool,
    reason: Option<String>,
    /// The last order of the page before.
    after: Option<String>,
    limit: Option<usize>,
}

/// What rates the orders.
struct Prices {
    /// Given; `None`: what is in force by the endpoint's history.
    given: Option<Arc<PinnedPrice>>,
    endpoint: Option<Arc<Endpoint>>,
    builders: HashMap<String, (Arc<str>, Ratio)>,
    /// Bills that have the costs already.
    closings: Closings,
}

/// What becomes of one order.
enum Plan {
    /// Rated so already, or the same amounts.
    Same,
    /// Left as it is, and why.
    Left(&'static str),
    Change(Box<TrueUp>),
}

pub(super) fn rerate(gateway: &Gateway, actor: &str, arguments: &[u8]) -> Result<Value> {
    let asked: Arguments = read(arguments)?;
    let reason = match (&asked.reason, asked.apply) {
        (Some(reason), _) => text(reason, "reason")?,
        (None, false) => String::new(),
        (None, true) => return Err(refuse("booking needs a reason", "reason")),
    };
    let prices = prices(gateway, &asked)?;
    let query = query(&asked)?;
    let page = gateway.ledger.settled(&query)?;
    let mut report = Report::default();
    let mut changes = Vec::new();
    for order in &page {
        let left = |why: &str| json!({ "order": order.order.id.to_string(), "why": why });
        match plan(gateway, &prices, order) {
            Ok(Plan::Same) => report.same += 1,
            Ok(Plan::Left(why)) => report.left.push(left(why)),
            Ok(Plan::Change(true_up)) => changes.push((order, true_up)),
            // One order is in nobody's way: the others of the page are rated.
            Err(error) => report.left.push(left(&error.message)),
        }
    }
    if asked.apply {
        apply(gateway, actor, &reason, changes, &mut report)?;
    } else {
        for (order, true_up) in changes {
            let (cost, charge) = (true_up.amounts.cost, corrected_charge(&order.order, &true_up.amounts));
            report.add(order, cost, charge, None);
        }
    }
    let last = page.last().filter(|_| page.len() == query.limit).map(|order| order.order.id.to_string());
    Ok(report.shown(&asked, page.len(), last))
}

fn query(asked: &Arguments) -> Result<SettledQuery> {
    let day = |text: &Option<String>, param| {
        let parse = |text: &String| Date::parse(text).ok_or_else(|| refuse(format!("'{text}' is no day such as 2026-12-01"), param));
        text.as_ref().map(parse).transpose()
    };
    let from = day(&asked.from, "from")?.map_or(crate::base::Timestamp(0), Date::start);
    let next = |day: Date| Date::of_day(day.day_number() + 1).start();
    let to = day(&asked.to, "to")?.map_or(crate::base::Timestamp(i64::MAX), next);
    let limit = asked.limit.unwrap_or(PAGE_DEFAULT);
    if limit == 0 || limit > PAGE_MAX {
        return Err(refuse(format!("a page has 1 to {PAGE_MAX} orders"), "limit"));
    }
    let parse = |text: &String| text.parse::<OrderId>().map_err(|()| refuse(format!("'{text}' is not an order id (ord_…)"), "after"));
    let after = asked.after.as_ref().map(parse).transpose()?;
    Ok(SettledQuery { endpoint: format!("{}/{}", asked.provider, asked.model), span: Span { from, to }, after, limit })
}

fn prices(gateway: &Gateway, asked: &Arguments) -> Result<Prices> {
    let wrong = |error: Error| refuse(error.message, "price");
    let given = asked.price.as_ref().map(read_price).transpose().map_err(wrong)?.map(|mut sheet| {
        "re-rating".clone_into(&mut sheet.source);
        PinnedPrice::of(&sheet)
    });
    let name = format!("{}/{}", asked.provider, asked.model);
    let selection = gateway.pipeline.snapshot.load().catalog.resolve(&name, gateway.clock.now()).ok();
    let endpoint = selection.and_then(|found| found.candidates.into_iter().find(|endpoint| *endpoint.id == *name));
    if given.is_none() && endpoint.is_none() {
        let why = format!("no provider of the settings has '{name}', so no price is in force for it: give one as 'price'");
        return Err(refuse(why, "price"));
    }
    let keys = gateway.database.list_keys()?;
    let builders = keys.into_iter().filter_map(|key| Some((key.id.to_string(), key.builder?))).collect();
    let closings = Closings::of(gateway, &asked.provider)?;
    Ok(Prices { given, endpoint, builders, closings })
}

fn plan(gateway: &Gateway, prices: &Prices, order: &OrderReceipt) -> Result<Plan> {
    let (row, Some(settled)) = (&order.order, &order.settlement) else { return Ok(Plan::Left("still open")) };
    let at = row.created_at;
    let Some(price) = prices.given.as_ref().or_else(|| prices.endpoint.as_ref()?.price_at(at)).cloned() else {
        return Ok(Plan::Left("no price was in force when the call began"));
    };
    if settled.price.as_deref() == Some(&*hex(&price.hash)) {
        return Ok(Plan::Same);
    }
    if row.refunded > Money::ZERO {
        return Ok(Plan::Left("was refunded: settle the rest by another refund"));
    }
    let never_priced = row.state == OrderState::Unpriced;
    if never_priced && prices.endpoint.is_none() {
        return Ok(Plan::Left("had no price, and its provider is not in the settings, which say whose key it was called with"));
    }
    let builder = order.reserve.key.as_ref().and_then(|key| prices.builders.get(key)).filter(|_| never_priced);
    let terms = if never_priced {
        unpinned(gateway, prices, order, settled, price, builder.map_or(Ratio::ZERO, |(_, share)| *share))
    } else {
        pinned(gateway, order, settled, Some(price))?
    };
    let (amounts, rated) = terms.rate(&settled.usage)?;
    let amounts = if settled.outcome.is_some() && !never_priced { by_policy(gateway, order, settled, amounts)? } else { amounts };
    if !never_priced && Some(amounts.cost) == row.cost && Some(corrected_charge(row, &amounts)) == row.charge {
        return Ok(Plan::Same);
    }
    Ok(Plan::Change(Box::new(following(order, settled, &prices.closings, Some(rated), (settled.usage, settled.usage_source), amounts))))
}

/// The terms of an order that had no price: those that hold for it now, in the standard tier: nobody noted which one served.
fn unpinned(
    gateway: &Gateway,
    prices: &Prices,
    order: &OrderReceipt,
    settled: &SettlePayload,
    price: Arc<PinnedPrice>,
    builder: Ratio,
) -> Rated {
    let provider = settled.provider.as_deref().unwrap_or(&order.order.provider);
    let endpoint = settled.endpoint.as_deref().unwrap_or(&order.reserve.endpoint);
    let model = endpoint.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/')).unwrap_or(endpoint);
    let terms = gateway.pipeline.terms.load().get(&order.wallet).cloned();
    let own = terms.as_ref().map_or(&[][..], |wallet| &wallet.terms.markup);
    let sell: Sell = sell_for(own, &gateway.settings.ledger.markup, gateway.settings.ledger.fee, provider, model);
    let own_key = prices.endpoint.as_ref().is_some_and(|endpoint| endpoint.own_key);
    let rating = Rating::standard(order.order.created_at);
    Rated { price, rating, sell, builder, upstream: own_key.then_some(Exact::ZERO), reported: settled.reported_cost() }
}

/// A call that did not end well was charged a part by the settlement policy: the same part of the new price.
fn by_policy(gateway: &Gateway, order: &OrderReceipt, settled: &SettlePayload, new: Amounts) -> Result<Amounts> {
    let (old, _) = pinned(gateway, order, settled, None)?.rate(&settled.usage)?;
    let money = |leg: Option<Money>| leg.unwrap_or(Money::ZERO);
    let builder = order.order.builder.as_ref().map_or(Money::ZERO, |(_, share)| *share);
    let charged = new.charged(money(order.order.pass_through), money(order.order.fee), builder);
    Ok(if old.charge.is_zero() { charged } else { charged.in_proportion(new.charge, old.charge) })
}

/// Books a page: each order once for this sheet, whoever asks again after whatever happened.
fn apply(gateway: &Gateway, actor: &str, reason: &str, changes: Vec<(&OrderReceipt, Box<TrueUp>)>, report: &mut Report) -> Result<()> {
    let submit = |(order, true_up): (_, Box<TrueUp>)| -> (&OrderReceipt, Ticket) {
        let sheet = true_up.rated.as_ref().map(|rated| hex(&rated.price.hash)).unwrap_or_default();
        let op = op_id(&["rerate", &true_up.order.to_string(), &sheet]);
        let operation = Operation { op, actor: actor.into(), reference: reason.into(), action: Action::TrueUp(true_up) };
        (order, gateway.ledger.submit(Command::Operate(Box::new(operation))))
    };
    let tickets: Vec<_> = changes.into_iter().map(submit).collect();
    for (order, ticket) in tickets {
        let id = order.order.id;
        match ticket.wait_blocking()? {
            Reply::Done { seq, duplicate: false } => {
                let after = gateway.ledger.order(id)?.map(|after| after.order);
                let money = |leg: Option<Money>| leg.unwrap_or(Money::ZERO);
                report.add(
                    order,
                    money(after.as_ref().and_then(|after| after.cost)),
                    money(after.as_ref().and_then(|after| after.charge)),
                    Some(seq),
                );
            }
            Reply::Done { duplicate: true, .. } => report.same += 1,
            Reply::Refused(Refusal::Conflict) => {
                report
                    .left
                    .push(json!({ "order": id.to_string(), "why": "changed meanwhile, or had this price before: look at its entries" }));
            }
            Reply::Refused(refusal) => {
                report.left.push(json!({ "order": id.to_string(), "why": refusal.to_error(&id.to_string()).message }));
            }
            other @ (Reply::Held { .. } | Reply::Settled { .. }) => {
                return Err(Error::new(ErrorKind::LedgerUnavailable, "the ledger failed on this command").with_cause(format!("{other:?}")));
            }
        }
    }
    Ok(())
}

/// What a page came to.
#[derive(Default)]
struct Report {
    same: usize,
    left: Vec<Value>,
    orders: Vec<Value>,
    cost: [i128; 2],
    charge: [i128; 2],
    /// Goes back to wallets; is charged now to those that had no price; cost that nobody is charged for.
    returned: i128,
    charged: i128,
    loss: i128,
}

impl Report {
    fn add(&mut self, order: &OrderReceipt, cost: Money, charge: Money, entry: Option<i64>) {
        let row = &order.order;
        let (was, paid) = (row.cost.unwrap_or(Money::ZERO), row.charge.unwrap_or(Money::ZERO));
        let nano = |money: Money| i128::from(money.as_nano());
        for (sum, [before, after]) in [(&mut self.cost, [was, cost]), (&mut self.charge, [paid, charge])] {
            *sum = [sum[0] + nano(before), sum[1] + nano(after)];
        }
        self.returned += (nano(paid) - nano(charge)).max(0);
        if row.state == OrderState::Unpriced {
            self.charged += nano(charge);
        } else {
            self.loss += (nano(cost) - nano(was)).max(0);
        }
        self.orders.push(json!({
            "order": row.id.to_string(),
            "created_at": row.created_at.to_string(),
            "wallet": &*order.wallet,
            "state": row.state.name(),
            "cost": { "before": row.cost, "after": cost },
            "charge": { "before": row.charge, "after": charge },
            "entry_seq": entry,
        }));
    }

    fn shown(self, asked: &Arguments, looked_at: usize, next_after: Option<String>) -> Value {
        let usd = |nano: i128| i64::try_from(nano).ok().map(Money::nano);
        json!({
            "applied": asked.apply,
            "provider": asked.provider,
            "model": asked.model,
            "looked_at": looked_at,
            "changed": self.orders.len(),
            "unchanged": self.same,
            "left": self.left,
            "orders": self.orders,
            "totals": {
                "cost": { "before": usd(self.cost[0]), "after": usd(self.cost[1]) },
                "charge": { "before": usd(self.charge[0]), "after": usd(self.charge[1]) },
                "returned": usd(self.returned),
                "charged": usd(self.charged),
                "loss": usd(self.loss),
            },
            "next_after": next_after,
        })
    }
}
