//! Owns: what calls have come to, for people who watch the bill: every figure with what may still be added to it.
//! Refuses to know: how it is added up (domain), and tables (the command line).

use super::booking::refuse;
use super::read;
use super::statement::nano;
use crate::app::Gateway;
use crate::base::{Date, Error, ErrorKind, Result, Timestamp};
use crate::domain::ledger::{Dimension, LedgerReader, Span, Spend, SpendQuery};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// More rows than this are no report.
const MAX_ROWS: usize = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Days, UTC: `from` included, `to` not. Default: the month so far.
    from: Option<String>,
    to: Option<String>,
    wallet: Option<String>,
    #[serde(default = "by_provider")]
    by: Vec<Dimension>,
}

fn by_provider() -> Vec<Dimension> {
    vec![Dimension::Provider]
}

fn day(text: Option<&str>, param: &'static str, default: Timestamp) -> Result<Timestamp> {
    let wrong = |text: &str| refuse(format!("'{text}' is no day such as 2026-11-30"), param);
    text.map_or(Ok(default), |text| Date::parse(text).map(Date::start).ok_or_else(|| wrong(text)))
}

pub(super) fn spend(gateway: &Gateway, arguments: &[u8]) -> Result<Value> {
    let asked: Asked = read(arguments)?;
    let now = gateway.clock.now();
    let month = Date { day: 1, ..Date::of(now) };
    let span = Span {
        from: day(asked.from.as_deref(), "from", month.start())?,
        to: day(asked.to.as_deref(), "to", Date::of_day(Date::of(now).day_number() + 1).start())?,
    };
    if span.to <= span.from {
        return Err(refuse("'to' is a day after 'from'", "to"));
    }
    if let Some(wallet) = &asked.wallet
        && !gateway.ledger.has_wallet(wallet)?
    {
        return Err(Error::new(ErrorKind::NotFound, format!("there is no wallet '{wallet}'")).with_param("wallet"));
    }
    let query = SpendQuery { span, wallet: asked.wallet, by: asked.by };
    let groups = gateway.ledger.spend(&query)?;
    if groups.len() > MAX_ROWS {
        return Err(refuse(format!("that makes {} rows; ask for fewer days or dimensions", groups.len()), "by"));
    }
    let mut total = Spend::default();
    let mut rows = Vec::with_capacity(groups.len());
    for (values, spend) in groups {
        total += spend;
        let mut row = view(&spend)?;
        row.extend(query.by.iter().zip(values).map(|(by, value)| (by.name().to_owned(), value.into())));
        rows.push(Value::Object(row));
    }
    Ok(json!({
        "from": span.from.to_string(),
        "to": span.to.to_string(),
        "wallet": query.wallet,
        "by": query.by.iter().map(|by| by.name()).collect::<Vec<_>>(),
        "currency": "USD",
        "rows": rows,
        "totals": view(&total)?,
    }))
}

/// `spent` is what users pay, `cost` what providers bill. The truth lies between what is known and that plus the `uncertain_max`
/// beside it; calls without a price have no bound at all and are counted.
fn view(spend: &Spend) -> Result<Map<String, Value>> {
    let members = [
        ("orders", spend.orders.into()),
        ("open_orders", spend.open_orders.into()),
        ("unpriced_orders", spend.unpriced_orders.into()),
        ("input_tokens", spend.input_tokens.into()),
        ("output_tokens", spend.output_tokens.into()),
        ("spent_known", json!(nano(spend.known_nano)?)),
        ("spent_provisional", json!(nano(spend.provisional_nano)?)),
        ("spent_uncertain_max", json!(nano(spend.provisional_nano + spend.held_nano)?)),
        ("held", json!(nano(spend.held_nano)?)),
        ("fee", json!(nano(spend.fee_nano)?)),
        ("refunded", json!(nano(spend.refunded_nano)?)),
        ("cost_known", json!(nano(spend.cost_known_nano)?)),
        ("cost_reported", json!(nano(spend.cost_reported_nano)?)),
        ("cost_estimated", json!(nano(spend.cost_estimated_nano)?)),
        ("cost_uncertain_max", json!(nano(spend.cost_uncertain_max_nano)?)),
    ];
    Ok(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
