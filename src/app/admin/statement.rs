//! Owns: a wallet's statement of one calendar month (UTC) for people and programs.
//! Refuses to know: paper and tables (the command line).

use super::booking::refuse;
use super::read;
use crate::app::Gateway;
use crate::base::{Date, Error, ErrorKind, Money, Result};
use crate::domain::ledger::{LedgerReader, Span, Statement, UsageLine};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    wallet: String,
    /// `2026-11`.
    month: String,
}

pub(super) fn statement(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let Asked { wallet, month } = read(arguments)?;
    let first = Date::parse(&format!("{month}-01")).ok_or_else(|| refuse("a month looks like 2026-11", "month"))?;
    let span = Span { from: first.start(), to: first.plus_months(1).start() };
    let unknown = || Error::new(ErrorKind::NotFound, format!("there is no wallet '{wallet}'"));
    let found = gateway.ledger.statement(&wallet, span)?.ok_or_else(unknown)?;
    if !found.is_proved() {
        let why = format!("the entries of wallet '{wallet}' do not explain its balance; run `gotoai ledger verify`");
        return Err(Error::new(ErrorKind::Storage, why));
    }
    Ok(json!({
        "wallet": wallet,
        "month": month,
        "currency": "USD",
        "from": span.from.to_string(),
        "to": span.to.to_string(),
        "complete": span.to <= gateway.clock.now(),
        "opening": nano(found.opening_nano)?,
        "closing": nano(found.closing_nano)?,
        "movements": found.movements.iter().map(|(kind, amount)| Ok(json!({ "kind": kind, "amount": nano(*amount)? }))).collect::<Result<Vec<_>>>()?,
        "usage": found.usage.iter().map(line).collect::<Vec<_>>(),
        "totals": totals(&found),
    }))
}

pub(super) fn nano(amount: i128) -> Result<Money> {
    let fits = i64::try_from(amount).map_err(|_| Error::new(ErrorKind::Internal, "an amount is beyond what can be shown"));
    fits.map(Money::nano)
}

fn line(line: &UsageLine) -> Value {
    json!({
        "day": line.day.to_string(),
        "model": line.model,
        "orders": line.orders,
        "input_tokens": line.input_tokens,
        "output_tokens": line.output_tokens,
        "pass_through": line.pass_through,
        "fee": line.fee,
        "charge": line.charge,
        "provisional": line.provisional,
        "refunded": line.refunded,
        "unpriced": line.unpriced,
    })
}

/// Known and uncertain apart.
fn totals(statement: &Statement) -> Value {
    let sum = |amount: fn(&UsageLine) -> Money| {
        Money::nano(statement.usage.iter().fold(0_i64, |sum, line| sum.saturating_add(amount(line).as_nano())))
    };
    let provisional = sum(|line| line.provisional);
    let charge = sum(|line| line.charge);
    let refunded = sum(|line| line.refunded);
    json!({
        "orders": statement.usage.iter().map(|line| line.orders).sum::<i64>(),
        "charge": charge,
        "refunded": refunded,
        "spent_known": Money::nano(charge.as_nano() - provisional.as_nano() - refunded.as_nano()),
        "spent_provisional": provisional,
        "spent_uncertain_max": provisional.checked_add(statement.held).unwrap_or(Money::MAX),
        "held_now": statement.held,
        "open_orders_now": statement.open_orders,
        "unpriced_orders": statement.usage.iter().map(|line| line.unpriced).sum::<i64>(),
    })
}
